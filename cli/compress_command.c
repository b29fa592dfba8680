/* compress and decompress, as zstd's users expect them: many files, or standard input to standard output;
 * inputs are kept; nothing is overwritten without -f. */
#include "cli.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_PATH = 4096 };
static const char ending[] = ".lk";

static const lk_option compress_own[] = {
    {"level", LK_OPTION_INT, "6", 0, 19, NULL,
     "-0: bytes by how often they occur, as --codec order0. -1 … -9: 1 is the fastest and takes 5 "
     "MB of memory, 9 the strongest and takes 0.6 GB, as "
     "does "
     "decompressing it"},
    {"learn", LK_OPTION_CHOICE, "bytes", 1, 0,
     "bytes|auto|copula|fa|gmm|independent|made|mixture|ppca|vae",
     "What is learned, so that no model file is needed: \"bytes\" while coding; a family's model "
     "from "
     "the rows of a table, which goes into the archive; \"auto\": what makes the smallest archive"},
    {"codec", LK_OPTION_CHOICE, "bytes", 1, 0, "bytes|rows|series|order0|stored",
     "\"order0\": hundreds of MB a second, and little compression; \"rows\" and \"series\" go with "
     "--model, of tables and of texts or sounds, and need not be named; "
     "\"stored\": as it is, with checksums"},
    {"adapt", LK_OPTION_REAL, "0", 0, 10, NULL,
     "With --model of texts or sounds: the model goes on learning from what was coded, by steps of "
     "this rate, and while decompressing again; fewer bits, several times the time"},
    {"embed", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Put the model into the archive, which then needs no model file to be decompressed"},
    {"pixels", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "PNG: keep the pixels (with palette, depth, remarks) and not the file's bytes; what comes "
     "back is an uncompressed "
     "PNG of them"},
    {"chunk-size", LK_OPTION_INT, "0", 0, 268435456, NULL,
     "Bytes that are coded on their own, for threads and against damage; 0: 8 to 64 MB by level"},
    {"verify", LK_OPTION_CHOICE, "small", 1, 0, "small|all|none",
     "Decode what was coded and compare; small: inputs up to 1 MiB. Takes as long again"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option decompress_own[] = {
    {"test", LK_OPTION_FLAG, "false", 1, 0, NULL, "-t: only find out whether archives are whole"},
    {"list", LK_OPTION_FLAG, "false", 1, 0, NULL, "-l: only tell what archives say of themselves"},
    {"salvage", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Leave damaged chunks out and write the others; the exit code is 3 all the same"},
    {"range", LK_OPTION_TEXT, "", 1, 0, NULL,
     "FIRST:COUNT, only these bytes of what is inside, to standard output, from the chunks that "
     "have them"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option shared[] = {
    {"model", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Code the rows of tables, texts or sounds with this model file, which decompressing then "
     "needs"},
    {"output", LK_OPTION_TEXT, "", 1, 0, NULL, "-o: where the result goes, of one input"},
    {"stdout", LK_OPTION_FLAG, "false", 1, 0, NULL, "-c: the result goes to standard output"},
    {"force", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "-f: replace what is there, and write to a terminal"},
    {"keep", LK_OPTION_FLAG, "true", 1, 0, NULL, "-k: keep the inputs. This is the default"},
    {"rm", LK_OPTION_FLAG, "false", 1, 0, NULL, "Remove each input when its result is complete"},
    {"threads", LK_OPTION_INT, "0", 0, 1024, NULL,
     "-T: threads; 0: one for each core. Never changes a result"},
    {"verbose", LK_OPTION_FLAG, "false", 1, 0, NULL, "-v: tell more"},
    {"decompress", LK_OPTION_FLAG, "false", 1, 0, NULL, "-d: decompress, whichever command it is"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const compress_tables[] = {compress_own, shared, cli_common_options, NULL};
static const lk_option *const decompress_tables[] = {decompress_own, shared, cli_common_options,
                                                     NULL};

static bool is_stream(const char *path) { return !strcmp(path, "-"); }

/* Where the result of an input goes: `out` has room for MOST_PATH. False: told why not. */
static bool name_result(const cli_arguments *a, const char *from, bool decode, char *out) {
    const char *given = cli_value(a, "output", "");
    size_t n = strlen(from), m = strlen(ending);
    if (*given && strlen(given) < MOST_PATH) {
        strcpy(out, given);
    } else if (cli_flag(a, "stdout") || is_stream(from)) {
        strcpy(out, "-");
    } else if (n + m >= MOST_PATH || strlen(given) >= MOST_PATH) {
        cli_usage("the path %.40s… is too long", from);
        return false;
    } else if (!decode) {
        strcpy(out, from);
        strcat(out, ending);
    } else if (n > m && !strcmp(from + n - m, ending)) {
        memcpy(out, from, n - m);
        out[n - m] = 0;
    } else {
        cli_usage("%s does not end in %s: say with -o FILE or -c where its contents go", from,
                  ending);
        return false;
    }
    return true;
}

static const char *shown(const char *path, bool in) {
    return !is_stream(path) ? path : in ? "standard input" : "standard output";
}

static void tell(const cli_arguments *a, const char *from, const char *to, bool decode,
                 const lk_compress_summary *s, double seconds) {
    double rate = seconds > 0 ? (double)s->bytes / seconds / 1e6 : 0;
    if (cli_flag(a, "json")) {
        FILE *out = to && is_stream(to) ? stderr : stdout;
        fputs("{\"input\": ", out);
        cli_json_string(out, from);
        fprintf(
            out,
            ", \"bytes\": %llu, \"archive_bytes\": %llu, \"chunks\": %llu, \"seconds\": %.3f}\n",
            (unsigned long long)s->bytes, (unsigned long long)s->archive_bytes,
            (unsigned long long)s->chunks, seconds);
        return;
    }
    if (cli_flag(a, "quiet")) return;
    if (!to) {
        fprintf(stderr, "%s: good: %llu bytes (%.2f MB/s)\n", shown(from, true),
                (unsigned long long)s->bytes, rate);
        return;
    }
    fprintf(stderr, "%s: %llu => %llu bytes", shown(from, true),
            (unsigned long long)(decode ? s->archive_bytes : s->bytes),
            (unsigned long long)(decode ? s->bytes : s->archive_bytes));
    if (s->bytes)
        fprintf(stderr, ", %.2f %%, %.3f bits a byte",
                100.0 * (double)s->archive_bytes / (double)s->bytes,
                8.0 * (double)s->archive_bytes / (double)s->bytes);
    fprintf(stderr, ", %.2f MB/s, %s\n", rate, shown(to, false));
    if (cli_flag(a, "verbose"))
        fprintf(stderr, "%s: %llu chunks, %.2f seconds\n", shown(from, true),
                (unsigned long long)s->chunks, seconds);
}

static lk_status to_stdout(void *user, const void *bytes, size_t n) {
    (void)user;
    return fwrite(bytes, 1, n, stdout) == n ? LK_OK : LK_IO;
}

static int print_range(lk_context *ctx, const cli_arguments *a, const char *from,
                       const lk_decompress_options *options) {
    unsigned long long first, count;
    char more;
    const char *range = cli_value(a, "range", "");
    if (sscanf(range, "%llu:%llu%c", &first, &count, &more) != 2 || strchr(range, '-'))
        return cli_usage("--range is \"%s\", but it takes FIRST:COUNT, as in 0:1000", range);
    lk_status status = lk_decompress_range(ctx, from, first, count, options, to_stdout, NULL);
    return status == LK_OK ? 0 : cli_fail(ctx, status);
}

static int print_about(lk_context *ctx, const cli_arguments *a, const char *from) {
    lk_archive_info info;
    lk_status status = lk_archive_describe(ctx, from, &info);
    if (status != LK_OK) return cli_fail(ctx, status);
    double share = info.bytes ? 100.0 * (double)info.archive_bytes / (double)info.bytes : 0;
    if (cli_flag(a, "json")) {
        printf("{\"archive\": ");
        cli_json_string(stdout, from);
        printf(", \"name\": ");
        cli_json_string(stdout, info.name);
        printf(", \"codec\": \"%s\", \"level\": %d, \"version\": %u, \"bytes\": %llu, "
               "\"archive_bytes\": %llu, \"chunks\": %llu, \"sha256\": \"%s\", \"model\": \"%s\", "
               "\"rows\": %llu, \"predicted_bits\": %llu, \"coded_bits\": %llu}\n",
               info.codec, info.level, info.version, (unsigned long long)info.bytes,
               (unsigned long long)info.archive_bytes, (unsigned long long)info.chunks, info.sha256,
               info.model_hash, (unsigned long long)info.rows,
               (unsigned long long)info.predicted_bits, (unsigned long long)info.coded_bits);
        return 0;
    }
    printf("%12llu %12llu %6.2f %% %5llu  %s -%d  %s", (unsigned long long)info.archive_bytes,
           (unsigned long long)info.bytes, share, (unsigned long long)info.chunks, info.codec,
           info.level, from);
    if (info.name[0]) printf(" (%s)", info.name);
    putchar('\n');
    if (cli_flag(a, "verbose")) printf("  sha256 %s\n", info.sha256);
    if (info.model_hash[0]) printf("  model  %s\n", info.model_hash);
    if (info.rows)
        printf("  rows   %llu: %llu bits by the model's density, %llu as coded, %llu of all else\n",
               (unsigned long long)info.rows, (unsigned long long)info.predicted_bits,
               (unsigned long long)info.coded_bits,
               (unsigned long long)(8 * info.archive_bytes - info.coded_bits));
    return 0;
}

static int one_file(lk_context *ctx, const cli_arguments *a, const char *from, bool decode) {
    lk_compress_options c = LK_COMPRESS_DEFAULTS;
    lk_decompress_options d = LK_DECOMPRESS_DEFAULTS;
    lk_compress_summary summary = {0};
    char to[MOST_PATH];
    const char *verify = cli_value(a, "verify", "small");
    bool test = decode && cli_flag(a, "test");
    const char *model = cli_value(a, "model", ""), *learn = cli_value(a, "learn", "bytes");
    if (*model) c.model = d.model = model;
    c.pixels = !decode && cli_flag(a, "pixels");
    c.embed = !decode && cli_flag(a, "embed");
    if (c.embed && !*model)
        return cli_usage("--embed puts a model into the archive; name it with --model");
    c.adapt = decode ? 0 : cli_number(a, "adapt", 0);
    if (c.adapt > 0 && !*model)
        return cli_usage("--adapt goes on with a model that was learned; name it with --model");
    if (!decode && strcmp(learn, "bytes") != 0) c.learn = learn;
    if (c.learn && (*model || *cli_value(a, "codec", "")))
        return cli_usage("--learn %s learns a model: it goes with neither --model nor --codec",
                         learn);
    bool fastest = *cli_value(a, "level", "") && cli_count(a, "level", 0) == 0;
    c.codec = cli_value(a, "codec", *model ? NULL : fastest ? "order0" : "bytes");
    if (!decode && fastest && (c.learn || !c.codec || strcmp(c.codec, "order0") != 0))
        return cli_usage("-0 is the codec order0, which learns nothing and takes no model");
    c.level = !c.codec || strcmp(c.codec, "stored") ? (int)cli_count(a, "level", 0) : 0;
    c.chunk_bytes = (size_t)cli_count(a, "chunk-size", 0);
    c.verify = !strcmp(verify, "all")    ? LK_VERIFY_ALL
               : !strcmp(verify, "none") ? LK_VERIFY_NONE
                                         : LK_VERIFY_SMALL;
    d.salvage = decode && cli_flag(a, "salvage");
    if (decode && *cli_value(a, "range", "")) return print_range(ctx, a, from, &d);
    if (!test && !name_result(a, from, decode, to)) return LK_USAGE;
    bool force = cli_flag(a, "force");
    if (decode && is_stream(from) && isatty(STDIN_FILENO))
        return cli_usage("an archive is not typed in; give a file, or send one to standard input");
    if (!test && !decode && is_stream(to) && !force && isatty(STDOUT_FILENO))
        return cli_usage("an archive is not for a terminal; give -o FILE, or -f if it must be");
    double began = cli_seconds();
    lk_status status = decode ? lk_decompress_file(ctx, from, test ? NULL : to, force, &d, &summary)
                              : lk_compress_file(ctx, from, to, force, &c, &summary);
    if (status == LK_OK || summary.damaged)
        tell(a, from, test ? NULL : to, decode, &summary, cli_seconds() - began);
    if (status != LK_OK) return cli_fail(ctx, status);
    if (cli_flag(a, "rm") && !test && !is_stream(from) && !is_stream(to) && unlink(from) != 0) {
        cli_usage("%s could not be removed", from);
        return LK_IO;
    }
    return 0;
}

/* All inputs, also after one that failed; the exit code is of the first failure. */
static int run_both(lk_context *ctx, const cli_arguments *a, bool decode) {
    bool list = decode && cli_flag(a, "list");
    int code = 0;
    if (a->n_plain > 1 && *cli_value(a, "output", ""))
        return cli_usage("-o names one result, and there are %zu inputs; leave it out, or use -c",
                         a->n_plain);
    if (list && !cli_flag(a, "json") && !cli_flag(a, "quiet"))
        printf("     archive     original    share chunks codec      name\n");
    for (size_t i = 0; i < (a->n_plain ? a->n_plain : 1); i++) {
        const char *from = a->n_plain ? a->plain[i] : "-";
        int one = list ? print_about(ctx, a, from) : one_file(ctx, a, from, decode);
        if (!code) code = one;
        if (one == LK_INTERRUPTED || one == LK_NO_MEMORY) break;
    }
    return code;
}

static int run_compress(lk_context *ctx, const cli_arguments *a) {
    return run_both(ctx, a, cli_flag(a, "decompress"));
}
static int run_decompress(lk_context *ctx, const cli_arguments *a) {
    return run_both(ctx, a, true);
}

const cli_command cli_compress = {
    "compress",
    "[FILE …]",
    "Compresses files without loss, each to FILE.lk; standard input to standard output without any",
    compress_tables,
    0,
    CLI_MAX,
    "likely compress -9 notes.txt",
    run_compress};

const cli_command cli_decompress = {
    "decompress",
    "[FILE.lk …]",
    "Gives back what `likely compress` was given, to the byte; -l lists, -t tests",
    decompress_tables,
    0,
    CLI_MAX,
    "likely decompress notes.txt.lk",
    run_decompress};
