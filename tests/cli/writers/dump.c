/* dump OUT NAME TYPE SHAPE FILE ...: writes with writers/loupe.h what lies in files of raw values; SHAPE as 7x60. */
#include "loupe.h"

static void *slurp(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    void *values = malloc(1 << 20);
    if (!file || !values) exit(3);
    *bytes = fread(values, 1, 1 << 20, file);
    fclose(file);
    return values;
}

int main(int count, char **args) {
    loupe_dump dump = loupe_open(args[1]);
    for (int i = 2; i + 3 < count; i += 4) {
        size_t bytes, shape[8];
        int rank = 0;
        void *values = slurp(args[i + 3], &bytes);
        for (char *at = args[i + 2]; *at; at += *at == 'x') shape[rank++] = (size_t)strtoull(at, &at, 10);
        if (!strcmp(args[i], "token_ids")) loupe_tokens(&dump, (int32_t *)values, bytes / sizeof(int32_t));
        else if (!strcmp(args[i + 1], "F32")) loupe_f32(&dump, args[i], (float *)values, rank, shape);
        else loupe_add(&dump, args[i], args[i + 1], values, rank, shape);
        free(values);
    }
    if (loupe_close(&dump)) return 0;
    fprintf(stderr, "%s\n", dump.error);
    return 1;
}
