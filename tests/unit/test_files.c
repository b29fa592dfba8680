#include "data_help.h"

#include "base/files.h"

#include <dirent.h>
#include <sys/stat.h>

static const char *inside(lk_help *h, const char *name) {
    snprintf(h->path, sizeof h->path, "%s/%s", h->folder, name);
    return h->path;
}

static void assert_holds(const char *path, const char *text) {
    size_t n = 0;
    unsigned char *bytes = help_slurp(path, &n);
    assert_non_null(bytes);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(bytes, text, n);
    free(bytes);
}

/* Entries of the folder, hidden ones too. */
static int count_entries(const char *folder) {
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(dir);
    return n;
}

static void whole_or_not_at_all(void **state) {
    lk_help *h = *state;
    lk_file *file;
    const char *path = inside(h, "out.txt");
    assert_int_equal(lk_file_create(h->ctx, path, false, &file), LK_OK);
    assert_int_equal(lk_file_printf(file, "%d and %s", 1, "two"), LK_OK);
    assert_int_not_equal(access(path, F_OK), 0); /* not before it is committed */
    assert_int_equal(lk_file_commit(file), LK_OK);
    assert_holds(path, "1 and two");

    assert_int_equal(lk_file_create(h->ctx, path, true, &file), LK_OK);
    assert_int_equal(lk_file_write(file, "other", 5), LK_OK);
    lk_file_abandon(file);
    assert_holds(path, "1 and two");

    assert_int_equal(lk_file_create(h->ctx, path, true, &file), LK_OK);
    assert_int_equal(lk_file_write(file, "other", 5), LK_OK);
    assert_int_equal(lk_file_patch(file, 1, "TH", 2), LK_OK);
    assert_int_equal(lk_file_write(file, "!", 1), LK_OK);
    assert_int_equal(lk_file_commit(file), LK_OK);
    assert_holds(path, "oTHer!");
    assert_int_equal(count_entries(h->folder), 1);
    lk_file_abandon(NULL);
}

static void nothing_is_overwritten_unasked(void **state) {
    lk_help *h = *state;
    lk_file *file;
    const char *path = help_write(h, "kept.txt", "kept");
    assert_int_equal(lk_file_create(h->ctx, path, false, &file), LK_USAGE);
    assert_non_null(strstr(lk_context_message(h->ctx), "exists"));
    help_clear(h);
    assert_int_equal(unlink(path), 0);
    /* It appears while we write. */
    assert_int_equal(lk_file_create(h->ctx, path, false, &file), LK_OK);
    assert_int_equal(lk_file_write(file, "ours", 4), LK_OK);
    help_write(h, "kept.txt", "theirs");
    assert_int_equal(lk_file_commit(file), LK_USAGE);
    assert_holds(path, "theirs");
    help_clear(h);
    assert_int_equal(lk_file_create(h->ctx, h->folder, true, &file), LK_USAGE);
    help_clear(h);
    assert_int_equal(lk_file_create(h->ctx, inside(h, "no/such/folder"), true, &file), LK_IO);
    help_clear(h);
    assert_int_equal(lk_file_create(h->ctx, "", true, &file), LK_USAGE);
    help_clear(h);
}

static void links_and_devices_stay(void **state) {
    lk_help *h = *state;
    lk_file *file;
    char target[128], link[128];
    struct stat there;
    strcpy(target, help_write(h, "target.txt", "old"));
    strcpy(link, inside(h, "link.txt"));
    assert_int_equal(chmod(target, 0640), 0);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(lk_file_create(h->ctx, link, true, &file), LK_OK);
    assert_int_equal(lk_file_write(file, "new", 3), LK_OK);
    assert_int_equal(lk_file_commit(file), LK_OK);
    assert_holds(target, "new");
    assert_int_equal(lstat(link, &there), 0);
    assert_true(S_ISLNK(there.st_mode));
    assert_int_equal(stat(target, &there), 0);
    assert_int_equal(there.st_mode & 0777, 0640);

    assert_int_equal(lk_file_create(h->ctx, "/dev/null", false, &file), LK_OK);
    assert_int_equal(lk_file_write(file, "x", 1), LK_OK);
    assert_int_equal(lk_file_commit(file), LK_OK);
    assert_int_equal(stat("/dev/null", &there), 0);
    assert_true(S_ISCHR(there.st_mode));
}

static void a_full_disk_is_told(void **state) {
    lk_help *h = *state;
    lk_file *file;
    if (access("/dev/full", W_OK)) skip();
    assert_int_equal(lk_file_create(h->ctx, "/dev/full", true, &file), LK_OK);
    assert_int_equal(lk_file_write(file, "x", 1), LK_OK);
    assert_int_equal(lk_file_commit(file), LK_IO);
    assert_non_null(strstr(lk_context_message(h->ctx), "/dev/full"));
    help_clear(h);
    /* Larger than the buffer: told at once, and ever after. */
    char *large = calloc(1, 200000);
    assert_int_equal(lk_file_create(h->ctx, "/dev/full", true, &file), LK_OK);
    assert_int_equal(lk_file_write(file, large, 200000), LK_IO);
    assert_int_equal(lk_file_write(file, "x", 1), LK_IO);
    assert_int_equal(lk_file_commit(file), LK_IO);
    free(large);
    help_clear(h);
}

static void large_and_long_pieces(void **state) {
    lk_help *h = *state;
    lk_file *file;
    char *long_text = malloc(3001), *all = malloc(700000);
    size_t n = 0;
    memset(long_text, 'y', 3000);
    long_text[3000] = 0;
    assert_int_equal(lk_file_create(h->ctx, inside(h, "large"), false, &file), LK_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(lk_file_printf(file, "%s", long_text), LK_OK);
        memcpy(all + n, long_text, 3000);
        n += 3000;
    }
    assert_int_equal(lk_file_write(file, all, 70000), LK_OK);
    assert_int_equal(lk_file_commit(file), LK_OK);
    unsigned char *bytes;
    size_t size;
    assert_int_equal(lk_file_read(h->ctx, h->path, 1 << 20, &bytes, &size), LK_OK);
    assert_int_equal(size, 670000);
    assert_memory_equal(bytes, all, n);
    assert_int_equal(bytes[size], 0);
    lk_free(h->ctx, bytes);
    assert_int_equal(lk_file_read(h->ctx, h->path, 1000, &bytes, &size), LK_BAD_DATA);
    help_clear(h);
    assert_int_equal(lk_file_read(h->ctx, "/dev/zero", 100000, &bytes, &size), LK_BAD_DATA);
    help_clear(h);
    assert_int_equal(lk_file_read(h->ctx, inside(h, "absent"), 1000, &bytes, &size), LK_IO);
    help_clear(h);
    assert_int_equal(lk_file_read(h->ctx, h->folder, 1000, &bytes, &size), LK_IO);
    help_clear(h);
    assert_int_equal(lk_file_read(h->ctx, help_write(h, "empty", ""), 1000, &bytes, &size), LK_OK);
    assert_int_equal(size, 0);
    lk_free(h->ctx, bytes);
    free(long_text);
    free(all);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    for (long i = 1;; i++) {
        lk_file *file;
        size_t held = h->held;
        h->allocations = 0;
        h->fail_at = i;
        lk_status status = lk_file_create(h->ctx, inside(h, "starved"), true, &file);
        bool failed = h->allocations >= i;
        h->fail_at = 0;
        if (status == LK_OK) lk_file_abandon(file);
        assert_int_equal(h->held, held);
        assert_int_not_equal(access(h->path, F_OK), 0);
        if (!failed) break;
        assert_int_equal(status, LK_NO_MEMORY);
        help_clear(h);
    }
}

static void temporary_files_have_no_name(void **state) {
    lk_help *h = *state;
    int fd;
    struct stat there;
    assert_int_equal(lk_file_temporary(h->ctx, &fd), LK_OK);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(fstat(fd, &there), 0);
    assert_int_equal(there.st_nlink, 0);
    close(fd);
}

static void endings(void **state) {
    (void)state;
    assert_true(lk_path_ends("a/b.csv", ".csv"));
    assert_true(lk_path_ends("B.CSV", ".csv"));
    assert_false(lk_path_ends("csv", ".csv"));
    assert_false(lk_path_ends("a.csvx", ".csv"));
    assert_true(lk_path_ends("x", ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_or_not_at_all, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_overwritten_unasked, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(links_and_devices_stay, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(large_and_long_pieces, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(temporary_files_have_no_name, help_setup, help_teardown),
        cmocka_unit_test(endings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
