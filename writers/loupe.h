/* Writes the values of an engine to a file that Loupe judges: safetensors, from C99 or C++11. Copy this file; it needs
 * nothing but the standard library.
 *
 *   #include "loupe.h"
 *   loupe_dump dump = loupe_open("dump.safetensors");
 *   loupe_tokens(&dump, ids, count);                           // int32_t, what the engine ran, <bos> included
 *   loupe_f32(&dump, "layers.0.self_attn.q_proj", q, 3, (size_t[]){tokens, heads, head_dim});
 *   loupe_add(&dump, "layers.0.output", "BF16", bits, 2, shape);  // any type that safetensors has, little-endian
 *   if (!loupe_close(&dump)) fprintf(stderr, "%s\n", dump.error);
 *
 * Values are in row-major order and are written at once, so that the engine may go on to overwrite its buffer. Names are
 * Loupe's (docs/probes.md) or the engine's own (docs/candidates.md says which are known). What goes wrong is kept in
 * `error` until loupe_close, which then leaves no file. One thread at a time.
 */
#ifndef LOUPE_H
#define LOUPE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct loupe_dump {
    char path[4096];   /* of the file that loupe_close writes */
    FILE *values;      /* a temporary file: the header, which comes first, is known last */
    uint64_t bytes;    /* in it */
    char *header;      /* the JSON so far, without the last brace */
    size_t length;     /* of that */
    char error[256];   /* empty while all is well */
} loupe_dump;

static inline void loupe_fail(loupe_dump *dump, const char *what, const char *which) {
    if (!dump->error[0]) snprintf(dump->error, sizeof dump->error, "loupe.h: %s: %.160s", what, which);
}

static inline void loupe_text(loupe_dump *dump, const char *text) {
    size_t more = strlen(text);
    char *longer = (char *)realloc(dump->header, dump->length + more + 1);
    if (!longer) { loupe_fail(dump, "out of memory", dump->path); return; }
    memcpy(longer + dump->length, text, more + 1);
    dump->header = longer;
    dump->length += more;
}

static inline loupe_dump loupe_open(const char *path) {
    loupe_dump dump;
    memset(&dump, 0, sizeof dump);
    snprintf(dump.path, sizeof dump.path, "%s", path);
    if (strlen(path) >= sizeof dump.path) loupe_fail(&dump, "a path that is too long", path);
    else remove(path); /* what an earlier run left is not this one's */
    dump.values = tmpfile();
    if (!dump.values) loupe_fail(&dump, "cannot make a temporary file for", path);
    loupe_text(&dump, "{\"__metadata__\":{\"writer\":\"loupe.h\"}");
    return dump;
}

static inline size_t loupe_size(const char *type) {
    static const struct { const char *name; size_t size; } sizes[] = {
        {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"U32", 4}, {"U8", 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!strcmp(sizes[i].name, type)) return sizes[i].size;
    return 0;
}

/* A tensor of `rank` lengths, whose values are of one of the types above. */
static inline void loupe_add(loupe_dump *dump, const char *name, const char *type, const void *values, int rank,
                             const size_t *shape) {
    char entry[1024], lengths[256] = "";
    const uint16_t one = 1;
    size_t count = loupe_size(type);
    if (dump->error[0]) return;
    if (*(const unsigned char *)&one != 1) { loupe_fail(dump, "this machine is not little-endian", name); return; }
    if (!count) { loupe_fail(dump, "expected F64, F32, F16, BF16, I64, I32, U32 or U8, not", type); return; }
    if (rank < 0 || rank > 8) { loupe_fail(dump, "expected at most 8 axes", name); return; }
    if (!*name || strlen(name) > 512 || !strcmp(name, "__metadata__")) {
        loupe_fail(dump, "a name of 1 to 512 bytes, which is not __metadata__, was expected", name);
        return;
    }
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e || *c == '"' || *c == '\\') {
            loupe_fail(dump, "a name with quotes, backslashes or other than ASCII characters", name);
            return;
        }
    snprintf(entry, sizeof entry, ",\"%s\":{", name);
    if (strstr(dump->header, entry)) { loupe_fail(dump, "is there already; a dump holds one forward pass", name); return; }
    for (int axis = 0; axis < rank; axis++) {
        size_t end = strlen(lengths);
        snprintf(lengths + end, sizeof lengths - end, "%s%llu", axis ? "," : "", (unsigned long long)shape[axis]);
        if (shape[axis] && count > SIZE_MAX / shape[axis]) { loupe_fail(dump, "a shape too large to be true", name); return; }
        count *= shape[axis];
    }
    if (count && fwrite(values, 1, count, dump->values) != count) loupe_fail(dump, "cannot write (is the disk full?)", name);
    loupe_text(dump, entry);
    snprintf(entry, sizeof entry, "\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%llu,%llu]}", type, lengths,
             (unsigned long long)dump->bytes, (unsigned long long)(dump->bytes + count));
    loupe_text(dump, entry);
    dump->bytes += count;
}

static inline void loupe_f32(loupe_dump *dump, const char *name, const float *values, int rank, const size_t *shape) {
    loupe_add(dump, name, "F32", values, rank, shape);
}

/* The ids that the engine ran, in order. */
static inline void loupe_tokens(loupe_dump *dump, const int32_t *ids, size_t count) {
    loupe_add(dump, "token_ids", "I32", ids, 1, &count);
}

/* Writes the file and frees everything. 1: it is there; 0: `error` says why it is not. */
static inline int loupe_close(loupe_dump *dump) {
    char block[1 << 16];
    unsigned char length[8];
    size_t got;
    FILE *file = NULL;
    loupe_text(dump, "}");
    while (!dump->error[0] && dump->length % 8) loupe_text(dump, " ");
    if (!dump->error[0] && !(file = fopen(dump->path, "wb"))) loupe_fail(dump, "cannot write", dump->path);
    if (file) {
        for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)dump->length >> (8 * i));
        rewind(dump->values);
        int ok = fwrite(length, 1, 8, file) == 8 && fwrite(dump->header, 1, dump->length, file) == dump->length;
        while (ok && (got = fread(block, 1, sizeof block, dump->values)) > 0) ok = fwrite(block, 1, got, file) == got;
        ok = !ferror(dump->values) && ok;
        if (fclose(file) || !ok) {
            loupe_fail(dump, "cannot write (is the disk full?)", dump->path);
            remove(dump->path);
        }
    }
    if (dump->values) fclose(dump->values);
    free(dump->header);
    dump->values = NULL;
    dump->header = NULL;
    return !dump->error[0];
}

#endif
