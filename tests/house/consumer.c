/* A stranger's program: sees the installed header, links the installed library. */
#include <likely.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    lk_context *ctx = lk_context_create(NULL);
    lk_family_info family;
    if (!ctx || strcmp(lk_version(), LK_VERSION) != 0 || !lk_family_at(0, &family)) return 1;
    printf("likely %s, first family %s\n", lk_version(), family.name);
    lk_context_destroy(ctx);
    return 0;
}
