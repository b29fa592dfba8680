/* Recordings: what their samples are, at which rate, and what is said of files that are none. */
#include "data_help.h"

#include "data/kinds.h"
#include "data/sound.h"
#include "data/spectrum.h"

#include <math.h>

/* A RIFF file of 16-bit PCM whose header promises `promised` bytes of samples. */
static const char *write_wav(lk_help *h, const char *name, unsigned rate, unsigned channels,
                             const int16_t *samples, size_t n, uint32_t promised) {
    static unsigned char bytes[1 << 20];
    uint32_t words[] = {36 + promised, 16, rate, rate * 2 * channels, promised};
    assert_true(44 + 2 * n <= sizeof bytes);
    memcpy(bytes, "RIFF....WAVEfmt ........................data....", 44 + 4);
    for (int i = 0; i < 4; i++) {
        bytes[4 + i] = (unsigned char)(words[0] >> 8 * i);
        bytes[16 + i] = (unsigned char)(words[1] >> 8 * i);
        bytes[24 + i] = (unsigned char)(words[2] >> 8 * i);
        bytes[28 + i] = (unsigned char)(words[3] >> 8 * i);
        bytes[40 + i] = (unsigned char)(words[4] >> 8 * i);
    }
    memcpy(bytes + 20, (const unsigned char[]){1, 0, (unsigned char)channels, 0}, 4);
    memcpy(bytes + 32, (const unsigned char[]){(unsigned char)(2 * channels), 0, 16, 0}, 4);
    memcpy(bytes + 36, "data", 4);
    for (size_t i = 0; i < n; i++) {
        bytes[44 + 2 * i] = (unsigned char)samples[i];
        bytes[45 + 2 * i] = (unsigned char)((uint16_t)samples[i] >> 8);
    }
    return help_write_bytes(h, name, bytes, 44 + 2 * n);
}

static size_t read_sound(lk_help *h, const char *path, uint32_t rate, int16_t *to, size_t room) {
    lk_sound *sound;
    size_t n = 0, got = 1;
    if (lk_sound_open(h->ctx, path, rate, &sound) != LK_OK)
        fail_msg("%s", lk_context_message(h->ctx));
    /* In pieces of odd sizes. */
    for (size_t piece = 1; got; piece = piece * 3 % 977 + 1) {
        size_t want = piece < room - n ? piece : room - n;
        assert_int_equal(lk_sound_read(sound, to + n, want, &got), LK_OK);
        n += got;
    }
    lk_sound_close(sound);
    return n;
}

/* The levels are the formula's, computed by libm; each comes back as itself, and every sample finds its nearest. */
static void mu_law_levels(void **state) {
    lk_mulaw table;
    (void)state;
    lk_mulaw_fill(&table);
    assert_int_equal(table.level[128], 0);
    assert_int_equal(table.level[0], -32768);
    assert_int_equal(table.level[129], 6);
    for (int k = 0; k < 256; k++) {
        double size = floor((pow(256, abs(k - 128) / 128.0) - 1) / 255 * 32768 + 0.5);
        assert_int_equal(table.level[k], (int)(k < 128 ? -size : fmin(size, 32767)));
        assert_true(!k || table.level[k] > table.level[k - 1]);
        assert_int_equal(lk_mulaw_symbol(&table, table.level[k]), k);
    }
    for (int x = -32768; x < 32768; x++) {
        int k = lk_mulaw_symbol(&table, (int16_t)x), best = 0;
        for (int j = 1; j < 256; j++)
            if (abs(table.level[j] - x) < abs(table.level[best] - x)) best = j;
        if (k != best) fail_msg("sample %d became level %d, and %d is nearer", x, k, best);
    }
}

static void samples_are_those_of_the_file(void **state) {
    enum { N = 5000 };
    lk_help *h = *state;
    static int16_t samples[2 * N], got[2 * N];
    for (int i = 0; i < 2 * N; i++) samples[i] = (int16_t)(i * 7919);
    const char *mono = write_wav(h, "a.wav", 8000, 1, samples, N, 2 * N);
    assert_int_equal(read_sound(h, mono, 0, got, 2 * N), N);
    assert_memory_equal(got, samples, N * sizeof *got);
    /* Two channels: their mean, half a step up. */
    const char *two = write_wav(h, "b.wav", 8000, 2, samples, 2 * N, 4 * N);
    assert_int_equal(read_sound(h, two, 8000, got, 2 * N), N);
    for (int i = 0; i < N; i++)
        assert_int_equal(got[i], (int)floor((samples[2 * i] + samples[2 * i + 1]) / 2.0 + 0.5));
    /* What is written is read again, as both. */
    static const char *const names[] = {"c.wav", "c.flac"};
    for (int q = 0; q < 2; q++) {
        lk_file *file;
        snprintf(h->path, sizeof h->path, "%s/%s", h->folder, names[q]);
        assert_int_equal(lk_file_create(h->ctx, h->path, false, &file), LK_OK);
        assert_int_equal(lk_sound_write(file, h->ctx, h->path, 11025, samples, N), LK_OK);
        assert_int_equal(lk_file_commit(file), LK_OK);
        memset(got, 0, sizeof got);
        assert_int_equal(read_sound(h, h->path, 11025, got, 2 * N), N);
        assert_memory_equal(got, samples, N * sizeof *got);
    }
}

/* A tone is the same tone at another rate, and as long; what the new rate cannot hold is gone. */
static void tones_are_resampled(void **state) {
    static const unsigned rates[][2] = {
        {44100, 8000}, {8000, 44100}, {48000, 16000}, {22050, 22051}};
    enum { N = 20000, ROOM = 120000 };
    static int16_t in[N], out[ROOM];
    lk_help *h = *state;
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        unsigned from = rates[r][0], to = rates[r][1];
        const double turn = 2 * 3.14159265358979323846;
        for (int i = 0; i < N; i++) in[i] = (int16_t)lrint(12000 * sin(turn * 440 * i / from));
        const char *path = write_wav(h, "tone.wav", from, 1, in, N, 2 * N);
        size_t n = read_sound(h, path, to, out, ROOM);
        assert_int_equal(n, ((uint64_t)N * to + from - 1) / from);
        double most = 0;
        for (size_t i = n / 10; i < n - n / 10; i++)
            most = fmax(most, fabs(out[i] - 12000 * sin(turn * 440 * (double)i / to)));
        if (most > 12) fail_msg("%u Hz at %u Hz: %g from the tone", from, to, most);
        if (to > from / 2) continue;
        for (int i = 0; i < N; i++)
            in[i] = (int16_t)lrint(12000 * sin(turn * 0.62 * to * i / from));
        n = read_sound(h, write_wav(h, "high.wav", from, 1, in, N, 2 * N), to, out, ROOM);
        for (size_t i = n / 10; i < n - n / 10; i++)
            if (abs(out[i]) > 30) fail_msg("%d of a tone that %u Hz cannot hold", out[i], to);
    }
}

static void series_hold_each_sample_once(void **state) {
    enum { N = 3000 };
    lk_help *h = *state;
    static int16_t samples[N];
    static uint16_t symbols[2 * N];
    for (int i = 0; i < N; i++) samples[i] = (int16_t)(i * 31 - 16000);
    write_wav(h, "b.wav", 8000, 1, samples, N, 2 * N);
    write_wav(h, "a.WAV", 8000, 1, samples, 10, 20);
    write_wav(h, "silence.wav", 8000, 1, samples, 0, 0);
    lk_read_options options = {.header = -1, .sound = "pcm", .window = 64, .overlap = 16};
    lk_reader *reader;
    if (lk_reader_open(h->ctx, h->folder, &options, &reader) != LK_OK)
        fail_msg("%s", lk_context_message(h->ctx));
    const lk_field *field = lk_reader_schema(reader)->fields;
    assert_true(lk_field_is_sound(field));
    assert_int_equal(field->rate, 8000);
    assert_int_equal(field->n_seen, N + 10);
    lk_rows *rows;
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    assert_int_equal(lk_rows_documents(rows), 3);
    assert_int_equal(lk_rows_length(rows, 0), 10);
    assert_int_equal(lk_rows_length(rows, 1), N);
    lk_rows_symbols(rows, 1, 0, N, symbols);
    for (int i = 0; i < N; i++) assert_int_equal(symbols[i] - LK_SAMPLE_ZERO, samples[i]);
    /* The schema comes back from JSON. */
    char *json, *again;
    lk_schema *schema;
    assert_int_equal(lk_schema_to_json(lk_reader_schema(reader), &json), LK_OK);
    assert_int_equal(lk_schema_from_json(h->ctx, json, &schema), LK_OK);
    assert_int_equal(lk_schema_to_json(schema, &again), LK_OK);
    assert_string_equal(json, again);
    lk_free(h->ctx, json);
    lk_free(h->ctx, again);
    lk_schema_destroy(schema);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
}

static void odd_files_are_told(void **state) {
    lk_help *h = *state;
    static int16_t samples[400];
    lk_read_options options = {.header = -1, .window = 64};
    /* A header that promises more than there is: what there is, is read. */
    const char *path = write_wav(h, "more.wav", 8000, 1, samples, 400, 0x7ffffff0);
    assert_int_equal(help_try(h, path, &options), LK_OK);
    const struct {
        unsigned rate, channels;
        const char *says;
    } wrong[] = {{0, 1, ""},
                 {999, 1, "sample rate"},
                 {900000, 1, "sample rate"},
                 {8000, 0, ""},
                 {8000, 200, "64"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        path = write_wav(h, "odd.wav", wrong[i].rate, wrong[i].channels, samples, 400, 800);
        assert_int_equal(help_try(h, path, &options), LK_BAD_DATA);
        assert_non_null(strstr(lk_context_message(h->ctx), wrong[i].says));
        assert_non_null(strstr(lk_context_message(h->ctx), "odd.wav"));
    }
    path = write_wav(h, "empty.wav", 8000, 1, samples, 0, 0);
    assert_int_equal(help_try(h, path, &options), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "no sample"));
    path = write_wav(h, "good.wav", 44100, 2, samples, 400, 800);
    options.rate = 8000;
    assert_int_equal(help_try(h, path, &options), LK_OK);
    assert_non_null(strstr(h->notices, "resampled from 44100 Hz to 8000"));
    assert_non_null(strstr(h->notices, "2 channels"));
    options.rate = 10;
    assert_int_equal(help_try(h, path, &options), LK_USAGE);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    static int16_t samples[3000];
    char path[128];
    lk_read_options options = {.header = -1, .window = 64, .rate = 8000};
    snprintf(path, sizeof path, "%s", write_wav(h, "x.wav", 11025, 1, samples, 3000, 6000));
    for (long fail = 1;; fail++) {
        size_t before = h->held;
        h->allocations = 0;
        h->fail_at = fail;
        lk_status status = help_try(h, path, &options);
        h->fail_at = 0;
        assert_int_equal(h->held, before);
        if (status == LK_OK) break;
        assert_int_equal(status, LK_NO_MEMORY);
        assert_true(fail < 1000);
    }
}

/* A tone of k periods a window is dark in row k from the bottom, and by the transform's definition nowhere else but beside it. */
static void tones_are_seen(void **state) {
    lk_help *h = *state;
    enum { N = 4000, WINDOW = 256, TONE = 37 };
    static double x[N];
    const double pi = 3.14159265358979323846;
    size_t width, height;
    uint8_t *pixels;
    for (size_t t = 0; t < N; t++) x[t] = 0.3 * cos(2 * pi * TONE * (double)t / WINDOW);
    assert_int_equal(lk_spectrogram(h->ctx, x, N, 8000, &width, &height, &pixels), LK_OK);
    assert_int_equal(height, WINDOW / 2);
    assert_int_equal(width, (N - WINDOW) / (WINDOW / 4) + 1);
    for (size_t row = 0; row < height; row++)
        for (size_t column = 0; column < width; column++) {
            size_t k = height - 1 - row;
            int grey = pixels[row * width + column];
            if (k == TONE) assert_int_equal(grey, 0);
            else if (k + 1 == TONE || k == TONE + 1) /* a Hann window has half of it there: 6 dB */
                assert_int_equal(grey, (int)(255 * 20 * log10(2) / 80 + 0.5));
            else assert_int_equal(grey, 255);
        }
    lk_free(h->ctx, pixels);
    /* All frequencies of one window against the definition, at a window of another size. */
    enum { SHORT = 64 };
    double power[SHORT / 2], most = 0;
    for (size_t t = 0; t < SHORT; t++) x[t] = sin(0.1 * (double)(t * t));
    for (size_t k = 0; k < SHORT / 2; k++) {
        double re = 0, im = 0;
        for (size_t t = 0; t < SHORT; t++) {
            double angle = 2 * pi * (double)t / SHORT, y = x[t] * (0.5 - 0.5 * cos(angle));
            re += y * cos((double)k * angle);
            im += y * sin((double)k * angle);
        }
        power[k] = re * re + im * im;
        if (power[k] > most) most = power[k];
    }
    assert_int_equal(lk_spectrogram(h->ctx, x, SHORT, 2000, &width, &height, &pixels), LK_OK);
    assert_int_equal(width, 1);
    for (size_t k = 0; k < SHORT / 2; k++) {
        double below = 10 * log10(most / power[k]) / 80;
        assert_true(fabs(pixels[height - 1 - k] - (below > 1 ? 255 : 255 * below)) < 0.51);
    }
    lk_free(h->ctx, pixels);
    /* However long, the picture is not wider. */
    double *more = lk_alloc(h->ctx, 3000000, sizeof *more);
    assert_non_null(more);
    assert_int_equal(lk_spectrogram(h->ctx, more, 3000000, 1000, &width, &height, &pixels), LK_OK);
    assert_true(width <= LK_MOST_COLUMNS && width > LK_MOST_COLUMNS / 2);
    lk_free(h->ctx, pixels);
    lk_free(h->ctx, more);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mu_law_levels),
        cmocka_unit_test_setup_teardown(samples_are_those_of_the_file, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(tones_are_resampled, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(series_hold_each_sample_once, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(tones_are_seen, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(odd_files_are_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
