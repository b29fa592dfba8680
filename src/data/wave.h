/* The head of a WAV file, byte by byte: for whoever is to have the file's own bytes back, which libsndfile does not give. */
#ifndef LK_DATA_WAVE_H
#define LK_DATA_WAVE_H

#include "base/context.h"

typedef struct lk_wave {
    size_t head;    /* bytes before the first sample */
    uint64_t bytes; /* of samples, as the head says; UINT64_MAX: it does not, they go to the end */
    uint32_t rate;
    unsigned channels, bits;
    bool pcm; /* whole numbers, low byte first */
} lk_wave;

/* Do these first bytes of a file hold all of a WAV file's (RIFF) head? */
bool lk_wave_find(const uint8_t *bytes, size_t n, lk_wave *wave);

#endif
