#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const lk_option table[] = {
    {"steps", LK_OPTION_INT, "20", 0, 1000, NULL, "How many"},
    {"seed", LK_OPTION_INT, "1", 1, 0, NULL, "Any whole number"},
    {"learning-rate", LK_OPTION_REAL, "1e-3", 0, 10, NULL, "Of the optimiser"},
    {"offset", LK_OPTION_REAL, "0", 1, 0, NULL, "Any number"},
    {"floor", LK_OPTION_REAL, "0", 0, INFINITY, NULL, "Open above"},
    {"json", LK_OPTION_FLAG, "false", 0, 0, NULL, "Yes or no"},
    {"covariance", LK_OPTION_CHOICE, "full", 1, 0, "full|tied|diagonal", "Of a component"},
    {"hidden", LK_OPTION_TEXT, "500", 1, 0, NULL, "Sizes"},
    {"output", LK_OPTION_TEXT, NULL, 1, 0, NULL, "A path"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option more[] = {
    {"particles", LK_OPTION_INT, "1", 1, 1 << 20, NULL, "Importance samples"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static int setup(void **state) {
    *state = lk_context_create(NULL);
    return !*state;
}

static int teardown(void **state) {
    lk_context_destroy(*state);
    return 0;
}

static lk_options *both(lk_context *ctx) {
    lk_options *options = lk_options_create(ctx);
    assert_non_null(options);
    assert_int_equal(lk_options_add(options, table), LK_OK);
    assert_int_equal(lk_options_add(options, more), LK_OK);
    return options;
}

static void defaults_are_the_tables(void **state) {
    lk_options *options = both(*state);
    assert_int_equal(lk_options_int(options, "steps"), 20);
    assert_true(lk_options_real(options, "learning-rate") == 0.001);
    assert_false(lk_options_flag(options, "json"));
    assert_string_equal(lk_options_text(options, "covariance"), "full");
    assert_string_equal(lk_options_text(options, "output"), "");
    assert_int_equal(lk_options_int(options, "particles"), 1);
    assert_true(lk_options_has(options, "hidden"));
    assert_false(lk_options_has(options, "hid"));
    assert_false(lk_options_is_set(options, "steps"));
    size_t n = 0;
    while (lk_options_at(options, n)) n++;
    assert_int_equal(n, 10);
    assert_string_equal(lk_options_at(options, 9)->name, "particles");
    lk_options_destroy(options);
}

/* A value's text does not depend on how it was typed: it goes into the model file. */
static void text_is_canonical(void **state) {
    static const struct {
        const char *name, *typed, *canonical;
    } cases[] = {
        {"steps", "1e2", "100"},
        {"steps", "+7", "7"},
        {"steps", "12.0", "12"},
        {"learning-rate", "0.0010", "0.001"},
        {"learning-rate", "1E-3", "0.001"},
        {"offset", "-0", "0"},
        {"offset", "-0.50", "-0.5"},
        {"json", "true", "true"},
        {"covariance", "tied", "tied"},
        {"hidden", "200, 100", "200, 100"},
        {"seed", "-9223372036854775807", "-9223372036854775807"},
        {"seed", "9223372036854775807", "9223372036854775807"},
        {"floor", "1e300", "1e300"}};
    lk_options *options = both(*state);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(lk_options_set(options, cases[i].name, cases[i].typed), LK_OK);
        char before[64];
        strcpy(before, lk_options_text(options, cases[i].name));
        assert_int_equal(lk_options_set(options, cases[i].name, before), LK_OK);
        assert_string_equal(lk_options_text(options, cases[i].name), before);
        assert_string_equal(before, cases[i].canonical);
        assert_true(lk_options_is_set(options, cases[i].name));
    }
    assert_int_equal(lk_options_int(options, "seed"), INT64_MAX);
    assert_true(lk_options_flag(options, "json"));
    lk_options_destroy(options);
}

/* What is refused names the option, the value, and what is allowed; the old value stays. */
static void refusals_say_what_is_allowed(void **state) {
    static const struct {
        const char *name, *typed, *message;
    } cases[] = {
        {"steps", "-1", "option \"steps\" is \"-1\", but must be a whole number from 0 to 1000"},
        {"steps", "1001",
         "option \"steps\" is \"1001\", but must be a whole number from 0 to 1000"},
        {"steps", "2.5", "option \"steps\" is \"2.5\", but must be a whole number from 0 to 1000"},
        {"steps", "", "option \"steps\" is \"\", but must be a whole number from 0 to 1000"},
        {"seed", "9223372036854775808",
         "option \"seed\" is \"9223372036854775808\", but must be a whole number"},
        {"learning-rate", "11",
         "option \"learning-rate\" is \"11\", but must be a number from 0 to 10"},
        {"learning-rate", "nan",
         "option \"learning-rate\" is \"nan\", but must be a number from 0 to 10"},
        {"offset", "1e999", "option \"offset\" is \"1e999\", but must be a number"},
        {"offset", "1,5", "option \"offset\" is \"1,5\", but must be a number"},
        {"floor", "-1", "option \"floor\" is \"-1\", but must be a number, at least 0"},
        {"json", "yes", "option \"json\" is \"yes\", but must be true or false"},
        {"covariance", "tie",
         "option \"covariance\" is \"tie\", but must be one of full, tied, diagonal"},
        {"covariance", "full|tied",
         "option \"covariance\" is \"full|tied\", but must be one of full, tied, diagonal"},
        {"covariance", "",
         "option \"covariance\" is \"\", but must be one of full, tied, diagonal"},
        {"learningrate", "1",
         "there is no option \"learningrate\"; did you mean \"learning-rate\"?"},
        {"setps", "1", "there is no option \"setps\"; did you mean \"steps\"?"},
        {"cov", "1", "there is no option \"cov\"; did you mean \"covariance\"?"},
        {"zzz", "1",
         "there is no option \"zzz\"; the options are: steps, seed, learning-rate, offset, floor, "
         "json, "
         "covariance, hidden, output, particles"}};
    lk_context *ctx = *state;
    lk_options *options = both(ctx);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lk_clear(ctx);
        assert_int_equal(lk_options_set(options, cases[i].name, cases[i].typed), LK_USAGE);
        assert_string_equal(lk_context_message(ctx), cases[i].message);
    }
    assert_int_equal(lk_options_int(options, "steps"), 20);
    assert_string_equal(lk_options_text(options, "covariance"), "full");
    assert_false(lk_options_is_set(options, "steps"));
    lk_options_destroy(options);
    lk_clear(ctx);
}

static void long_input_is_cut_in_messages(void **state) {
    lk_context *ctx = *state;
    lk_options *options = both(ctx);
    char typed[5000];
    memset(typed, 'x', sizeof typed - 1);
    typed[sizeof typed - 1] = 0;
    assert_int_equal(lk_options_set(options, "steps", typed), LK_USAGE);
    assert_non_null(strstr(lk_context_message(ctx), "but must be a whole number"));
    lk_clear(ctx);
    assert_int_equal(lk_options_set(options, typed, "1"), LK_USAGE);
    lk_clear(ctx);
    assert_int_equal(lk_options_set(options, "hidden", typed), LK_OK);
    assert_string_equal(lk_options_text(options, "hidden"), typed);
    lk_options_destroy(options);
}

static void a_copy_has_the_same_values(void **state) {
    lk_options *from = both(*state), *to = both(*state), *empty = lk_options_create(*state);
    assert_int_equal(lk_options_set(from, "steps", "7"), LK_OK);
    assert_int_equal(lk_options_set(to, "hidden", "3"), LK_OK);
    assert_int_equal(lk_options_copy(to, from), LK_OK);
    assert_int_equal(lk_options_copy(empty, from), LK_OK);
    lk_options_destroy(from);
    assert_int_equal(lk_options_int(to, "steps"), 7);
    assert_true(lk_options_is_set(to, "steps"));
    assert_string_equal(lk_options_text(to, "hidden"), "500");
    assert_int_equal(lk_options_int(empty, "steps"), 7);
    assert_false(lk_options_is_set(empty, "hidden"));
    lk_options_destroy(to);
    lk_options_destroy(empty);
}

static void a_name_is_in_one_table_only(void **state) {
    lk_options *options = both(*state);
    assert_int_equal(lk_options_add(options, more), LK_USAGE);
    assert_string_equal(lk_context_message(*state), "option \"particles\" is in two tables");
    lk_clear(*state);
    lk_options_destroy(options);
}

static void distances_are_those_of_the_definition(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {{"", "", 0},
                 {"", "abc", 3},
                 {"abc", "abc", 0},
                 {"abc", "acb", 1},
                 {"kitten", "sitting", 3},
                 {"ca", "abc", 3}, /* optimal string alignment; the unrestricted distance is 2 */
                 {"steps", "step", 1},
                 {"step", "steps", 1},
                 {"sunday", "saturday", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(lk_edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(lk_edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

/* ---- Memory: the n-th allocation fails, for all n ------------------------------------------------- */

typedef struct failing {
    size_t calls, fails_at, live;
} failing;

static void *failing_resize(void *user, void *block, size_t bytes) {
    failing *f = user;
    if (++f->calls == f->fails_at) return NULL;
    if (!block) f->live++;
    return realloc(block, bytes);
}
static void *failing_allocate(void *user, size_t bytes) {
    return failing_resize(user, NULL, bytes);
}
static void failing_release(void *user, void *block) {
    failing *f = user;
    f->live--;
    free(block);
}

static lk_status use_options(lk_context *ctx) {
    lk_options *options = lk_options_create(ctx), *copy = lk_options_create(ctx);
    lk_status status = options && copy ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) status = lk_options_add(options, table);
    if (status == LK_OK) status = lk_options_set(options, "steps", "30");
    if (status == LK_OK) status = lk_options_copy(copy, options);
    if (status == LK_OK) assert_int_equal(lk_options_int(copy, "steps"), 30);
    lk_options_destroy(options);
    lk_options_destroy(copy);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    bool reached_the_end = false;
    for (size_t n = 2; n < 1000 && !reached_the_end; n++) {
        failing f = {.fails_at = n};
        lk_allocator allocator = {failing_allocate, failing_resize, failing_release, &f};
        lk_context *ctx = lk_context_create(&allocator);
        lk_status status = use_options(ctx);
        reached_the_end = f.calls < n;
        assert_int_equal(status, reached_the_end ? LK_OK : LK_NO_MEMORY);
        lk_context_destroy(ctx);
        assert_int_equal(f.live, 0);
    }
    assert_true(reached_the_end);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_the_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_canonical, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_say_what_is_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(long_input_is_cut_in_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_has_the_same_values, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_in_one_table_only, setup, teardown),
        cmocka_unit_test(distances_are_those_of_the_definition),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
