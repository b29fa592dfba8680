/* bench_kernels peak|sustained|products|vectors [SECONDS]: the library's kernels beside their peers, by turns in one
 * process, so that what else the machine does meets both. A turn begins after a rest, in which the threads
 * of whoever was last, which spin for some milliseconds, fall asleep, and with a call that is not counted.
 * Prints lines of
 *     what,threads,ours,peer's name,peer's
 * with medians: products in GFLOP/s, vectors in nanoseconds an element. A peer that is not installed is
 * told on standard error. */
#include "base/context.h"
#include "kernels/isa.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n) {
    qsort(x, n, sizeof *x, by_size);
    return x[n / 2];
}

/* ---- Products ------------------------------------------------------------------------------------------ */

typedef struct shape {
    const char *name;
    int m, k, n, threads; /* 1: measured on one thread only */
} shape;

static const shape shapes[] = {
    {"256x256x256", 256, 256, 256, 2},       {"512x512x512", 512, 512, 512, 2},
    {"2048x2048x2048", 2048, 2048, 2048, 2}, {"128x784x500", 128, 784, 500, 2},
    {"64x512x2048", 64, 512, 2048, 2},       {"4096x64x64", 4096, 64, 64, 2},
    {"16384x288x32", 16384, 288, 32, 2},     {"1x512x512", 1, 512, 512, 1},
    {"8x1024x1024", 8, 1024, 1024, 1}};

/* cblas_sgemm and dnnl_sgemm, as their documentation declares them. */
typedef void cblas_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                      int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef int dnnl_fn(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                    int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
typedef void threads_fn(int);

enum { PEERS = 3, ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

static struct peer {
    const char *name, *library, *set_threads, *product;
    threads_fn *threads;
    cblas_fn *cblas;
    dnnl_fn *dnnl;
} peers[PEERS] = {
    {"OpenBLAS", "libopenblas.so.0", "openblas_set_num_threads", "cblas_sgemm", NULL, NULL, NULL},
    {"BLIS", "libblis.so.4", "bli_thread_set_num_threads", "cblas_sgemm", NULL, NULL, NULL},
    {"oneDNN", "libdnnl.so.2", "omp_set_num_threads", "dnnl_sgemm", NULL, NULL, NULL},
};

static void open_peers(void) {
    for (int p = 0; p < PEERS; p++) {
        struct peer *peer = &peers[p];
        void *library = dlopen(peer->library, RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            fprintf(stderr, "bench_kernels: no %s (%s)\n", peer->name, dlerror());
            continue;
        }
        void *product = dlsym(library, peer->product), *threads = dlsym(library, peer->set_threads);
        memcpy(&peer->threads, &threads, sizeof threads);
        if (p == 2) memcpy(&peer->dnnl, &product, sizeof product);
        else memcpy(&peer->cblas, &product, sizeof product);
        if (!threads || !product)
            fprintf(stderr, "bench_kernels: %s has no %s or %s\n", peer->name, peer->product,
                    peer->set_threads);
    }
}

static void peer_product(const struct peer *peer, const shape *s, bool ta, bool tb, const float *a,
                         const float *b, float *c) {
    int lda = ta ? s->m : s->k, ldb = tb ? s->k : s->n;
    if (peer->dnnl)
        peer->dnnl(ta ? 'T' : 'N', tb ? 'T' : 'N', s->m, s->n, s->k, 1, a, lda, b, ldb, 0, c, s->n);
    else
        peer->cblas(ROW_MAJOR, ta ? TRANSPOSED : PLAIN, tb ? TRANSPOSED : PLAIN, s->m, s->n, s->k,
                    1, a, lda, b, ldb, 0, c, s->n);
}

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 4000 };
static const double TURN = 0.02, REST = 0.05; /* seconds */

static void rest(double seconds) {
    struct timespec t = {0, (long)(seconds * 1e9)};
    nanosleep(&t, NULL);
}

static void one_case(lk_context *ctx, const shape *s, int layout, int threads, double seconds,
                     const float *a, const float *b, float *c) {
    static double took[PEERS + 1][MOST_ROUNDS];
    bool ta = layout == 2, tb = layout == 1;
    size_t m = (size_t)s->m, n = (size_t)s->n, k = (size_t)s->k, rounds[PEERS + 1] = {0};
    double flops = 2.0 * (double)m * (double)n * (double)k;
    int repeat = 1 + (int)(0.0005 * 60e9 / flops);
    for (double end = now() + seconds; now() < end || rounds[0] < LEAST_ROUNDS;)
        for (int who = 0; who <= PEERS; who++) {
            if (who && !peers[who - 1].cblas && !peers[who - 1].dnnl) continue;
            if (threads > 1) rest(REST);
            double turn = now() + TURN;
            for (int round = -1; round < 1 || now() < turn; round++) {
                double began = now();
                for (int r = 0; r < repeat; r++) {
                    if (who) peer_product(&peers[who - 1], s, ta, tb, a, b, c);
                    else
                        (void)lk_product(ctx, LK_F32, ta, tb, m, n, k, a, ta ? m : k, b, tb ? k : n,
                                         false, c, n);
                }
                if (round >= 0 && rounds[who] < MOST_ROUNDS)
                    took[who][rounds[who]++] = (now() - began) / repeat;
            }
        }
    double ours = median(took[0], rounds[0]);
    for (int p = 0; p < PEERS; p++)
        if (peers[p].cblas || peers[p].dnnl)
            printf("%s %s,%d,%.2f,%s,%.2f\n", s->name,
                   layout == 0   ? "NN"
                   : layout == 1 ? "NT"
                                 : "TN",
                   threads, flops / ours * 1e-9, peers[p].name,
                   flops / median(took[p + 1], rounds[p + 1]) * 1e-9);
    fflush(stdout);
}

static void products(lk_context *ctx, double seconds) {
    enum { ROOM = 2048 * 4096 };
    float *a = aligned_alloc(64, ROOM * sizeof *a), *b = aligned_alloc(64, ROOM * sizeof *b),
          *c = aligned_alloc(64, ROOM * sizeof *c);
    if (!a || !b || !c) exit(7);
    for (size_t i = 0; i < ROOM; i++) {
        a[i] = (float)((i * 7919) % 1001) / 1001 - 0.5f;
        b[i] = (float)((i * 104729) % 997) / 997 - 0.5f;
        c[i] = 0;
    }
    open_peers();
    for (int threads = 1; threads <= 2; threads++) {
        lk_context_set_threads(ctx, threads);
        for (int p = 0; p < PEERS; p++)
            if (peers[p].threads) peers[p].threads(threads);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (int layout = 0; layout < 3 && threads <= shapes[s].threads; layout++)
                one_case(ctx, &shapes[s], layout, threads, seconds, a, b, c);
    }
    free(a), free(b), free(c);
}

/* ---- Vectors ------------------------------------------------------------------------------------------- */

#ifdef HAVE_MVEC
#define DECLARE(f) \
    void f##_avx2(size_t, const void *, void *), f##_avx512(size_t, const void *, void *);
DECLARE(mvec_exp)
DECLARE(mvec_log)
DECLARE(mvec_tanh)
DECLARE(mvec_sigmoid)
DECLARE(mvec_exp64)
DECLARE(mvec_log64)
#define BOTH(f) f##_avx2, f##_avx512
#else
#define BOTH(f) NULL, NULL
#endif

static const struct map {
    const char *name;
    lk_unary f;
    lk_dtype t;
    lk_map_fn avx2, avx512;
} maps[] = {{"exp float32", LK_EXP, LK_F32, BOTH(mvec_exp)},
            {"log float32", LK_LOG, LK_F32, BOTH(mvec_log)},
            {"tanh float32", LK_TANH, LK_F32, BOTH(mvec_tanh)},
            {"sigmoid float32", LK_SIGMOID, LK_F32, BOTH(mvec_sigmoid)},
            {"exp float64", LK_EXP, LK_F64, BOTH(mvec_exp64)},
            {"log float64", LK_LOG, LK_F64, BOTH(mvec_log64)}};

/* In the first-level cache. */
static void vectors(double seconds) {
    enum { N = 1024, REPEAT = 200 };
    static double x[N], y[N], took[2][MOST_ROUNDS];
    const lk_isa *isa = lk_isa_pick();
    for (size_t q = 0; q < sizeof maps / sizeof maps[0]; q++) {
        const struct map *m = &maps[q];
        lk_map_fn peer = !strcmp(isa->name, "avx512") ? m->avx512
                         : !strcmp(isa->name, "avx2") ? m->avx2
                                                      : NULL;
        size_t rounds = 0;
        for (size_t i = 0; i < N; i++) {
            double v = m->f == LK_LOG ? 0.01 + (double)i : ((double)i - N / 2.0) / 60;
            if (m->t == LK_F32) ((float *)x)[i] = (float)v;
            else x[i] = v;
        }
        for (double end = now() + seconds; now() < end && rounds < MOST_ROUNDS; rounds++)
            for (int who = 0; who < 2; who++) {
                lk_map_fn f = who ? peer : isa->map[m->t][m->f];
                double began = now();
                for (int r = 0; f && r < REPEAT; r++) f(N, x, y);
                took[who][rounds] = (now() - began) / REPEAT / N * 1e9;
            }
        printf("%s,1,%.3f,%s,%.3f\n", m->name, median(took[0], rounds), peer ? "libmvec" : "none",
               peer ? median(took[1], rounds) : 0);
    }
}

/* ---- The peak over a while ------------------------------------------------------------------------------- */

static double sustained(lk_context *ctx, double seconds) {
    double began = now(), done = 0;
    while (now() < began + seconds) done += (double)lk_peak_burst(ctx);
    return 2e-9 * done / (now() - began);
}

int main(int argc, char **argv) {
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0.5;
    lk_context *ctx = lk_context_create(NULL);
    if (!ctx || argc < 2) return 2;
    if (!strcmp(argv[1], "products")) products(ctx, seconds);
    else if (!strcmp(argv[1], "vectors")) vectors(seconds);
    else if (!strcmp(argv[1], "sustained")) {
        lk_context_set_threads(ctx, 2);
        printf("sustained %s,2,%.2f,none,0\n", lk_isa_name(), sustained(ctx, seconds));
    } else
        for (int threads = 1; threads <= 2; threads++) {
            lk_context_set_threads(ctx, threads);
            printf("peak %s,%d,%.2f,none,0\n", lk_isa_name(), threads, 2e-9 * lk_context_peak(ctx));
        }
    lk_context_destroy(ctx);
    return 0;
}
