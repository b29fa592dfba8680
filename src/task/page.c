#include "task/page.h"

#include "base/json.h"
#include "data/image.h"

#include <string.h>

enum { WIDE = 320, HIGH = 90, TENTHS = 10 }; /* of plots; coordinates are whole tenths */

void lk_page_words(lk_text *out, const char *text, size_t n) {
    static const struct {
        char c;
        const char *as;
    } own[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}};
    for (size_t i = 0, step; i < n; i += step) {
        unsigned char c = (unsigned char)text[i];
        size_t k = 0;
        step = lk_utf8_length((const unsigned char *)text + i, n - i);
        while (k < sizeof own / sizeof *own && own[k].c != text[i]) k++;
        if (k < sizeof own / sizeof *own) lk_text_printf(out, "%s", own[k].as);
        else if (!step || (c < 32 && c != '\n' && c != '\t') || c == 127)
            lk_text_printf(out, "\\x%02x", c);
        else lk_text_add(out, text + i, step);
        if (!step) step = 1;
    }
}

void lk_page_number(lk_text *out, double value, int places) {
    double scale = 1;
    for (int i = 0; i < places; i++) scale *= 10;
    double size = value < 0 ? -value : value;
    if (!(size * scale < 9e15)) {
        lk_text_printf(out, value - value == 0 ? "beyond 10^15" : "–");
        return;
    }
    uint64_t whole = (uint64_t)(size * scale + 0.5), unit = (uint64_t)scale;
    lk_text_printf(out, "%s%llu", value < 0 && whole ? "−" : "",
                   (unsigned long long)(whole / unit));
    if (places) lk_text_printf(out, ".%0*llu", places, (unsigned long long)(whole % unit));
}

static void add_base64(lk_text *out, const unsigned char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        lk_text_add(out, four, 4);
    }
}

lk_status lk_page_picture(lk_text *out, size_t width, size_t height, size_t channels,
                          const uint8_t *pixels, const char *css) {
    lk_text png = {.ctx = out->ctx};
    lk_status status = lk_png_add(out->ctx, width, height, channels, pixels, &png);
    if (status == LK_OK) {
        lk_text_printf(out, "<img alt=\"\" style=\"%s\" src=\"data:image/png;base64,", css);
        add_base64(out, (const unsigned char *)png.bytes, png.n);
        lk_text_printf(out, "\">\n");
    }
    lk_text_free(&png);
    return status;
}

static void begin_plot(lk_text *out, int wide, int high) {
    lk_text_printf(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">", wide * TENTHS,
                   high * TENTHS, wide, high);
}

static int tenths(double share, int most) { return (int)(share * most * TENTHS + 0.5); }

void lk_page_bins(lk_text *out, size_t n, const double *data, const double *samples) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        if (data && data[i] > most) most = data[i];
        if (samples && samples[i] > most) most = samples[i];
    }
    if (!(most > 0)) most = 1;
    begin_plot(out, WIDE, HIGH);
    if (data) lk_text_printf(out, "<path class=\"d\" d=\"M0 %d", HIGH * TENTHS);
    for (size_t i = 0; data && i < n; i++)
        lk_text_printf(out, "V%dH%d", HIGH * TENTHS - tenths(data[i] / most, HIGH),
                       tenths((double)(i + 1) / (double)n, WIDE));
    if (data) lk_text_printf(out, "V%dZ\"/>", HIGH * TENTHS);
    if (samples) lk_text_printf(out, "<path class=\"s\" d=\"M0 %d", HIGH * TENTHS);
    for (size_t i = 0; samples && i < n; i++)
        lk_text_printf(out, "V%dH%d", HIGH * TENTHS - tenths(samples[i] / most, HIGH),
                       tenths((double)(i + 1) / (double)n, WIDE));
    if (samples) lk_text_printf(out, "V%d\"/>", HIGH * TENTHS);
    lk_text_printf(out, "</svg>");
}

void lk_page_bars(lk_text *out, double data, double samples) {
    begin_plot(out, 200, 12);
    if (data >= 0)
        lk_text_printf(out, "<path class=\"d\" d=\"M0 0H%dV55H0Z\"/>", tenths(data, 200));
    if (samples >= 0)
        lk_text_printf(out, "<path class=\"b\" d=\"M0 60H%dV115H0Z\"/>", tenths(samples, 200));
    lk_text_printf(out, "</svg>");
}

static bool finite(double x) { return x - x == 0; }

static void widen(size_t n, const double *y, double *low, double *high) {
    for (size_t i = 0; y && i < n; i++) {
        if (!finite(y[i])) continue;
        if (!(y[i] >= *low)) *low = y[i];
        if (!(y[i] <= *high)) *high = y[i];
    }
}

void lk_page_lines(lk_text *out, size_t n, const double *x, const double *first,
                   const double *second, int places) {
    const double *lines[] = {first, second};
    double low = 1e300, high = -1e300;
    widen(n, first, &low, &high);
    widen(n, second, &low, &high);
    if (n < 2 || low > high) return;
    double tall = high > low ? high - low : 1, wide = x[n - 1] > x[0] ? x[n - 1] - x[0] : 1;
    lk_text_printf(out, "<div class=\"axis\">");
    lk_page_number(out, high, places);
    lk_text_printf(out, "</div>");
    begin_plot(out, 2 * WIDE, 2 * HIGH);
    for (int k = 0; k < 2; k++) {
        bool begun = false;
        for (size_t i = 0; lines[k] && i < n; i++) {
            if (!finite(lines[k][i])) continue;
            if (!begun) lk_text_printf(out, "<path class=\"%s\" d=\"", k ? "s" : "l");
            lk_text_printf(out, "%s%d %d", begun ? "L" : "M",
                           tenths((x[i] - x[0]) / wide, 2 * WIDE),
                           2 * HIGH * TENTHS - tenths((lines[k][i] - low) / tall, 2 * HIGH));
            begun = true;
        }
        if (begun) lk_text_printf(out, "\"/>");
    }
    lk_text_printf(out, "</svg><div class=\"axis\">");
    lk_page_number(out, low, places);
    lk_text_printf(out, " &nbsp; from ");
    lk_page_number(out, x[0], 0);
    lk_text_printf(out, " to ");
    lk_page_number(out, x[n - 1], 0);
    lk_text_printf(out, "</div>\n");
}
