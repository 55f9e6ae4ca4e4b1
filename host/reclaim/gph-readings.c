/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gph pressure: reading what the kernel says about memory.
 */
#include <stdio.h>
#include <string.h>

#include "gph-readings.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_end(char c)
{
    return !c || c == '\n';
}

static const char *skip_blanks(const char *s)
{
    while (is_blank(*s)) {
        s++;
    }
    return s;
}

/* A decimal number at @s; what follows it, or NULL. */
static const char *parse_number(const char *s, uint64_t *value)
{
    uint64_t v = 0;
    const char *p;

    for (p = s; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX - (uint64_t)(*p - '0')) / 10) {
            return NULL;
        }
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == s) {
        return NULL;
    }
    *value = v;
    return p;
}

bool gph_parse_limit(const char *text, uint64_t *bytes)
{
    const char *end;
    uint64_t v;

    text = skip_blanks(text);
    if (!strncmp(text, "max", 3) && is_end(*skip_blanks(text + 3))) {
        *bytes = GPH_UNLIMITED;
        return true;
    }
    end = parse_number(text, &v);
    if (!end || !is_end(*skip_blanks(end))) {
        return false;
    }
    *bytes = v;
    return true;
}

static const char *next_line(const char *s)
{
    s = strchr(s, '\n');
    return s && s[1] ? s + 1 : NULL;
}

/* What follows @key and blanks in the line that begins with it, or NULL. */
static const char *find_key(const char *text, const char *key)
{
    size_t n = strlen(key);

    for (; text; text = next_line(text)) {
        if (!strncmp(text, key, n) && is_blank(text[n])) {
            return skip_blanks(text + n);
        }
    }
    return NULL;
}

bool gph_parse_key(const char *text, const char *key, uint64_t *value)
{
    const char *s = find_key(text, key);
    uint64_t v;

    s = s ? parse_number(s, &v) : NULL;
    if (!s || !is_end(*skip_blanks(s))) {
        return false;
    }
    *value = v;
    return true;
}

bool gph_parse_kib(const char *text, const char *key, uint64_t *bytes)
{
    const char *s = find_key(text, key);
    uint64_t v;

    s = s ? parse_number(s, &v) : NULL;
    if (!s || strncmp(skip_blanks(s), "kB", 2) || v > UINT64_MAX / 1024) {
        return false;
    }
    *bytes = v * 1024;
    return true;
}

static bool copy_to(char *out, size_t size, const char *from, size_t n)
{
    if (n >= size) {
        return false;
    }
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

bool gph_parse_own_cgroup(const char *text, char *path, size_t size)
{
    for (; text; text = next_line(text)) {
        if (!strncmp(text, "0::/", 4)) {
            return copy_to(path, size, text + 3, strcspn(text + 3, "\n"));
        }
    }
    return false;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Copy a field of mountinfo, where blanks are written as \040. */
static bool copy_field(char *out, size_t size, const char *from, size_t n)
{
    size_t i = 0, len = 0;

    while (i < n) {
        char c = from[i++];

        if (len + 1 >= size) {
            return false;
        }
        if (c == '\\' && n - i >= 3 && is_octal(from[i]) &&
            is_octal(from[i + 1]) && is_octal(from[i + 2])) {
            c = (char)((from[i] - '0') << 6 | (from[i + 1] - '0') << 3 |
                       (from[i + 2] - '0'));
            i += 3;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    return len > 0;
}

/* Field number @n of the line, counted from 0, and its length. */
static const char *field(const char *line, unsigned n, size_t *len)
{
    while (n--) {
        line += strcspn(line, " \n");
        line = skip_blanks(line);
    }
    *len = strcspn(line, " \n");
    return *len ? line : NULL;
}

/* The type comes after a "-" that ends a list of any length. */
static bool is_cgroup2(const char *line)
{
    static const char mark[] = " - cgroup2 ";
    const char *found = strstr(line, mark);

    return found && found < line + strcspn(line, "\n");
}

bool gph_parse_cgroup_mount(const char *text, char *mount, char *root,
                            size_t size)
{
    const char *r, *m;
    size_t rlen, mlen;

    for (; text; text = next_line(text)) {
        if (!is_cgroup2(text)) {
            continue;
        }
        r = field(text, 3, &rlen);
        m = field(text, 4, &mlen);
        if (r && m && *r == '/' && *m == '/') {
            return copy_field(root, size, r, rlen) &&
                   copy_field(mount, size, m, mlen);
        }
    }
    return false;
}

bool gph_cgroup_directory(const char *mount, const char *root,
                          const char *path, char *directory, size_t size)
{
    size_t n = strcmp(root, "/") ? strlen(root) : 0;
    int len;

    /* A path like that leads out of the cgroup namespace. */
    if (!strncmp(path, "/..", 3)) {
        return false;
    }
    if (strncmp(path, root, n) || (path[n] && path[n] != '/')) {
        return false;
    }
    path += n;
    if (!strcmp(path, "/")) {
        path = "";
    }
    len = snprintf(directory, size, "%s%s", mount, path);
    return len > 0 && (size_t)len < size;
}
