/* Resampling is the library's own, so that its bits are the same everywhere: by the rational L/M of the rates, sample m is
 * Σ x[k]·h(m·M/L - k) over 16 zero crossings on each side, h(t) = sinc(c·t)·cos²(π·t/(2·W)), |t| < W = 16/c, c = min(1, L/M)·0.95,
 * divided by the sum of h over those k (a windowed sinc: Smith, "Digital Audio Resampling", 2002). A phase's weights stand in a
 * table; sums go in order, in float64. */
#include "data/sound.h"

#include "kernels/kernels.h"

#include <sndfile.h>
#include <string.h>

enum { PIECE = 4096, CROSSINGS = 16, MOST_CHANNELS = 64, MOST_WEIGHTS = 1 << 24 };

struct lk_sound {
    lk_context *ctx;
    char *path;
    SNDFILE *file;
    uint32_t rate;
    size_t channels;
    int64_t frames, read; /* that the header promises; that were read */
    int *raw;             /* [PIECE, channels] */
    double *mono;         /* [PIECE] */
    size_t n_mono, at;
    bool ended;
    /* of resampling: weight NULL where there is none */
    uint64_t up, down; /* L and M */
    size_t reach;      /* W, whole */
    double *weight;    /* [up, 2·reach] of inputs c - reach + 1 … c + reach */
    double *seen;      /* [room] inputs `base` … base + n_seen - 1 */
    size_t n_seen, room;
    int64_t base, total; /* total: inputs; -1: not known yet */
    uint64_t next;       /* output */
};

/* ---- Mu-law ---------------------------------------------------------------------------------------------- */

void lk_mulaw_fill(lk_mulaw *table) {
    for (int k = 0; k < LK_MULAW_LEVELS; k++) {
        int step = k < 128 ? 128 - k : k - 128;
        double size = (lk_exp(lk_log(256) * step / 128) - 1) / 255 * 32768;
        int level = (int)(size + 0.5);
        table->level[k] = (int16_t)(k < 128 ? -level : level > 32767 ? 32767 : level);
    }
}

uint16_t lk_mulaw_symbol(const lk_mulaw *table, int16_t sample) {
    int low = 0, high = LK_MULAW_LEVELS - 1; /* level[low] <= sample */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (table->level[middle] <= sample) low = middle;
        else high = middle;
    }
    if (table->level[high] <= sample) return (uint16_t)high;
    return (uint16_t)(table->level[high] - sample < sample - table->level[low] ? high : low);
}

/* ---- Files ------------------------------------------------------------------------------------------------ */

bool lk_sound_named(const char *path) {
    return lk_path_ends(path, ".wav") || lk_path_ends(path, ".flac");
}

/* NULL, or why it is not read. */
static const char *wrong_format(const SF_INFO *info) {
    int major = info->format & SF_FORMAT_TYPEMASK, coding = info->format & SF_FORMAT_SUBMASK;
    if (major != SF_FORMAT_WAV && major != SF_FORMAT_WAVEX && major != SF_FORMAT_RF64 &&
        major != SF_FORMAT_FLAC)
        return "is a recording, but neither WAV nor FLAC; convert it to FLAC";
    if ((coding < SF_FORMAT_PCM_S8 || coding > SF_FORMAT_DOUBLE) && coding != SF_FORMAT_ULAW &&
        coding != SF_FORMAT_ALAW)
        return "is compressed in a way that loses something; convert it to FLAC";
    if (info->channels < 1 || info->channels > MOST_CHANNELS)
        return "has no channels, or more than 64";
    if (info->samplerate < LK_LEAST_RATE || info->samplerate > LK_MOST_RATE)
        return "has a sample rate outside 1000 to 768000 Hz";
    return NULL;
}

static uint64_t divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static double shape(double t, double cut, double reach) {
    static const double pi = 0x1.921fb54442d18p+1;
    if (t >= reach || t <= -reach) return 0;
    double x = pi * cut * t, c = lk_cos(pi * t / (2 * reach));
    return (t == 0 ? 1 : lk_sin(x) / x) * c * c;
}

static lk_status prepare(lk_sound *s, uint32_t rate) {
    uint64_t common = divisor(s->rate, rate);
    s->up = rate / common;
    s->down = s->rate / common;
    double cut = (s->up < s->down ? (double)s->up / (double)s->down : 1) * 0.95,
           reach = CROSSINGS / cut;
    s->reach = (size_t)reach + 1;
    if (s->up > MOST_WEIGHTS / (2 * s->reach))
        return lk_fail(s->ctx, LK_BAD_DATA,
                       "%s: %u Hz is too far from %u Hz to be resampled; convert it before",
                       s->path, (unsigned)s->rate, (unsigned)rate);
    s->room = 2 * s->reach + PIECE;
    s->weight = lk_alloc(s->ctx, (size_t)s->up * 2 * s->reach, sizeof *s->weight);
    s->seen = lk_alloc(s->ctx, s->room, sizeof *s->seen);
    if (!s->weight || !s->seen) return LK_NO_MEMORY;
    for (size_t p = 0; p < s->up; p++) {
        double *w = s->weight + p * 2 * s->reach, sum = 0;
        for (size_t j = 0; j < 2 * s->reach; j++) {
            double from = (double)j + 1 - (double)s->reach;
            w[j] = shape((double)p / (double)s->up - from, cut, reach);
            sum += w[j];
        }
        for (size_t j = 0; j < 2 * s->reach; j++) w[j] = w[j] / sum;
    }
    /* What stands before the first sample is silence. */
    s->base = -(int64_t)s->reach;
    s->n_seen = s->reach;
    return LK_OK;
}

lk_status lk_sound_open(lk_context *ctx, const char *path, uint32_t rate, lk_sound **out) {
    SF_INFO info = {0};
    lk_sound *s = *out = lk_alloc(ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->ctx = ctx;
    s->total = -1;
    lk_status status = (s->path = lk_strdup(ctx, path)) ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK && !(s->file = sf_open(path, SFM_READ, &info)))
        status = lk_fail(ctx, LK_BAD_DATA, "%s cannot be read as a recording: %s", path,
                         sf_strerror(NULL));
    const char *wrong = status == LK_OK ? wrong_format(&info) : NULL;
    if (wrong) status = lk_fail(ctx, LK_BAD_DATA, "%s %s", path, wrong);
    if (status == LK_OK) {
        s->rate = (uint32_t)info.samplerate;
        s->channels = (size_t)info.channels;
        s->frames = info.frames;
        sf_command(s->file, SFC_SET_SCALE_FLOAT_INT_READ, NULL, SF_FALSE);
        s->raw = lk_alloc(ctx, PIECE * s->channels, sizeof *s->raw);
        s->mono = lk_alloc(ctx, PIECE, sizeof *s->mono);
        if (!s->raw || !s->mono) status = LK_NO_MEMORY;
    }
    if (status == LK_OK && rate && rate != s->rate) status = prepare(s, rate);
    if (status == LK_OK) return LK_OK;
    lk_sound_close(s);
    *out = NULL;
    return status;
}

void lk_sound_close(lk_sound *s) {
    if (!s) return;
    if (s->file) sf_close(s->file);
    lk_free(s->ctx, s->path);
    lk_free(s->ctx, s->raw);
    lk_free(s->ctx, s->mono);
    lk_free(s->ctx, s->weight);
    lk_free(s->ctx, s->seen);
    lk_free(s->ctx, s);
}

uint32_t lk_sound_rate(const lk_sound *s) { return s->rate; }

size_t lk_sound_channels(const lk_sound *s) { return s->channels; }

/* ---- Reading ------------------------------------------------------------------------------------------------ */

/* The next frames, the mean of their channels in steps of 16 bits. */
static lk_status more(lk_sound *s) {
    sf_count_t got = sf_readf_int(s->file, s->raw, PIECE);
    s->at = 0;
    s->n_mono = got > 0 ? (size_t)got : 0;
    s->read += (int64_t)s->n_mono;
    s->ended = s->n_mono < PIECE;
    if (sf_error(s->file) || (s->ended && s->read < s->frames))
        return lk_fail(s->ctx, LK_BAD_DATA,
                       "%s is damaged: it ends after %lld of %lld samples (%s)", s->path,
                       (long long)s->read, (long long)s->frames, sf_strerror(s->file));
    for (size_t i = 0; i < s->n_mono; i++) {
        int64_t sum = 0;
        for (size_t c = 0; c < s->channels; c++) sum += s->raw[i * s->channels + c];
        s->mono[i] = (double)sum / (65536.0 * (double)s->channels);
    }
    return LK_OK;
}

static int16_t round_sample(double x) {
    x = x + 0.5;
    if (!(x >= -32768)) return -32768;
    if (x >= 32767) return 32767;
    int whole = (int)x;
    return (int16_t)(whole > x ? whole - 1 : whole);
}

/* Makes room by forgetting what no output will see, and takes inputs in, then silence. */
static lk_status take_in(lk_sound *s, int64_t first) {
    size_t gone = first > s->base ? (size_t)(first - s->base) : 0;
    if (gone > s->n_seen) gone = s->n_seen;
    memmove(s->seen, s->seen + gone, (s->n_seen - gone) * sizeof *s->seen);
    s->n_seen -= gone;
    s->base += (int64_t)gone;
    while (s->n_seen < s->room) {
        if (s->at == s->n_mono && !s->ended) {
            lk_status status = more(s);
            if (status != LK_OK) return status;
        }
        if (s->at == s->n_mono && s->total < 0) s->total = s->base + (int64_t)s->n_seen;
        s->seen[s->n_seen++] = s->at < s->n_mono ? s->mono[s->at++] : 0;
    }
    return LK_OK;
}

static lk_status resample(lk_sound *s, int16_t *to, size_t n, size_t *got) {
    for (*got = 0; *got < n; s->next++) {
        uint64_t place = s->next * s->down;
        int64_t first = (int64_t)(place / s->up) - (int64_t)s->reach + 1;
        if (first + 2 * (int64_t)s->reach > s->base + (int64_t)s->n_seen) {
            lk_status status = take_in(s, first);
            if (status != LK_OK) return status;
        }
        if (s->total >= 0 && place >= (uint64_t)s->total * s->up) return LK_OK;
        const double *w = s->weight + place % s->up * 2 * s->reach,
                     *x = s->seen + (first - s->base);
        double sum = 0;
        for (size_t j = 0; j < 2 * s->reach; j++) sum = sum + w[j] * x[j];
        to[(*got)++] = round_sample(sum);
    }
    return LK_OK;
}

lk_status lk_sound_read(lk_sound *s, int16_t *to, size_t n, size_t *got) {
    *got = 0;
    if (s->weight) return resample(s, to, n, got);
    while (*got < n) {
        if (s->at == s->n_mono) {
            if (s->ended) return LK_OK;
            lk_status status = more(s);
            if (status != LK_OK) return status;
            continue;
        }
        to[(*got)++] = round_sample(s->mono[s->at++]);
    }
    return LK_OK;
}

/* ---- Writing ------------------------------------------------------------------------------------------------ */

typedef struct room {
    lk_context *ctx;
    char *bytes;
    size_t n, capacity, at;
    bool failed;
} room;

static sf_count_t room_length(void *user) { return (sf_count_t)((room *)user)->n; }

static sf_count_t room_tell(void *user) { return (sf_count_t)((room *)user)->at; }

static sf_count_t room_seek(sf_count_t offset, int whence, void *user) {
    room *r = user;
    sf_count_t from = whence == SEEK_SET ? 0 : (sf_count_t)(whence == SEEK_CUR ? r->at : r->n);
    if (from + offset < 0 || from + offset > (sf_count_t)r->n) return -1;
    r->at = (size_t)(from + offset);
    return (sf_count_t)r->at;
}

static sf_count_t room_read(void *to, sf_count_t count, void *user) {
    room *r = user;
    size_t left = r->n - r->at, n = (size_t)count < left ? (size_t)count : left;
    if (n) memcpy(to, r->bytes + r->at, n);
    r->at += n;
    return (sf_count_t)n;
}

static sf_count_t room_write(const void *from, sf_count_t count, void *user) {
    room *r = user;
    size_t n = (size_t)count, end = r->at + n;
    if (r->failed || !n) return 0;
    if (end > r->capacity) {
        size_t capacity = r->capacity ? r->capacity : 4096;
        while (capacity < end) capacity *= 2;
        char *grown = lk_resize(r->ctx, r->bytes, r->capacity, capacity, 1);
        r->failed = !grown;
        if (!grown) return 0;
        r->bytes = grown;
        r->capacity = capacity;
    }
    memcpy(r->bytes + r->at, from, n);
    r->at = end;
    if (end > r->n) r->n = end;
    return count;
}

lk_status lk_sound_write(lk_file *file, lk_context *ctx, const char *path, uint32_t rate,
                         const int16_t *samples, size_t n) {
    room r = {.ctx = ctx};
    SF_VIRTUAL_IO io = {room_length, room_seek, room_read, room_write, room_tell};
    SF_INFO info = {.samplerate = (int)rate, .channels = 1};
    bool flac = lk_path_ends(path, ".flac");
    info.format = (flac ? SF_FORMAT_FLAC : SF_FORMAT_WAV) | SF_FORMAT_PCM_16;
    SNDFILE *to = sf_open_virtual(&io, SFM_WRITE, &info, &r);
    bool good = to && sf_writef_short(to, samples, (sf_count_t)n) == (sf_count_t)n;
    if (to) good = !sf_close(to) && good;
    lk_status status =
        r.failed ? LK_NO_MEMORY
        : good   ? lk_file_write(file, r.bytes, r.n)
                 : lk_fail(ctx, LK_CANNOT, "%s: %zu samples at %u Hz cannot be written as %s", path,
                           n, (unsigned)rate, flac ? "FLAC" : "WAV");
    lk_free(ctx, r.bytes);
    return status;
}
