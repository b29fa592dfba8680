/* Recordings: WAV and FLAC in and out, through libsndfile, as one channel of 16 bits; and the two alphabets of their samples. */
#ifndef LK_DATA_SOUND_H
#define LK_DATA_SOUND_H

#include "base/files.h"
#include "base/memory.h"

/* Mu-law of 256 levels, µ = 255, much like G.711 (whose two zeros and straight pieces it has not): level k stands for
 * sign(k - 128)·⌊(256^(|k - 128|/128) - 1)/255·32768 + 1/2⌋, at most 32767. A sample becomes the nearest level, of two as near the
 * lower; so levels come back as themselves. */
enum { LK_MULAW_LEVELS = 256, LK_SAMPLE_VALUES = 65536, LK_SAMPLE_ZERO = 32768 };
typedef struct lk_mulaw {
    int16_t level[LK_MULAW_LEVELS];
} lk_mulaw;
void lk_mulaw_fill(lk_mulaw *table);
uint16_t lk_mulaw_symbol(const lk_mulaw *table, int16_t sample);

typedef struct lk_sound lk_sound;
enum { LK_LEAST_RATE = 1000, LK_MOST_RATE = 768000 }; /* samples a second */
/* `rate`: that of the samples to be read, to which the recording is resampled; 0: its own. LK_BAD_DATA: no WAV or FLAC, or coded
 * in a way that is not read. */
lk_status lk_sound_open(lk_context *ctx, const char *path, uint32_t rate, lk_sound **out);
void lk_sound_close(lk_sound *sound);          /* NULL is fine */
uint32_t lk_sound_rate(const lk_sound *sound); /* of the file */
size_t lk_sound_channels(const lk_sound *sound);
/* Up to n samples; *got < n only at the end. */
lk_status lk_sound_read(lk_sound *sound, int16_t *samples, size_t n, size_t *got);
/* Does a file of this name hold a recording? By its ending. */
bool lk_sound_named(const char *path);
/* One channel of 16 bits into the file: FLAC if the path ends in .flac, else WAV. */
lk_status lk_sound_write(lk_file *file, lk_context *ctx, const char *path, uint32_t rate,
                         const int16_t *samples, size_t n);

#endif
