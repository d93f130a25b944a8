/* A small JIT for x86-64: it writes functions into memory, runs them, and tells of them in a jitdump. It does the same
 * each time.
 *
 *   jitgen [-n FUNCTIONS] [-H HOT] [-r ROUNDS] [-c CALLS] [-f] DIR
 *
 * Three quarters of FUNCTIONS are made first, the others as it runs. In each of ROUNDS it makes CALLS calls to the
 * first HOT functions, which call others; then one moves, another takes its old place, and a third is made anew in the
 * place that it has. Every function has lines and unwinding tables; with -f it keeps a frame pointer, too. The dump is
 * DIR/jit-PID.dump. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ARENA (1 << 20)
#define LARGEST 1024   /* bytes of code and tables at the most */
#define TABLES 160     /* bytes of tables behind the code */

struct function { uint8_t *at; uint32_t size; uint64_t number; int version; };
struct offsets { uint32_t pushed, framed, unframed, popped, frame; };

static int functions = 1000, hot = 100, rounds = 100, calls = 2000, frame_pointers;
static struct function *made;
static void **table;           /* where each function is now */
static FILE *dump;
static uint8_t *arena;
static size_t used = ARENA;
static uint64_t numbers = 1, seed = 0x9e3779b97f4a7c15;

static uint64_t some(uint64_t end)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % end;
}

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000ull + at.tv_nsec;
}

static void put(const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, dump) != size)
        exit(8);
}

static void put_prefix(uint32_t id, uint32_t size)
{
    struct { uint32_t id, size; uint64_t time; } prefix = { id, size, now() };
    put(&prefix, sizeof prefix);
}

/* Room for so many bytes of code and what stands behind it. */
static uint8_t *room(size_t size)
{
    size_t all = (size + 7) / 8 * 8 + TABLES;
    if (used + all > ARENA) {
        arena = mmap(0, ARENA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena == MAP_FAILED)
            exit(9);
        used = 0;
    }
    uint8_t *at = arena + used;
    used = (used + all + 15) & ~15ul;
    return at;
}

#define EMIT(...) do { const uint8_t b[] = { __VA_ARGS__ }; memcpy(p, b, sizeof b); p += sizeof b; } while (0)
#define EMIT_AS(type, value) do { type v = (value); memcpy(p, &v, sizeof v); p += sizeof v; } while (0)

/* Code of int f(int depth, int x): a loop, then a call of another function while depth lasts. */
static uint32_t compile(uint8_t *start, int which, int version, struct offsets *at)
{
    uint8_t *p = start;
    at->frame = 16 * (1 + which % 13);
    if (frame_pointers) {
        EMIT(0x55);                                /* push rbp */
        at->pushed = p - start;
        EMIT(0x48, 0x89, 0xe5);                    /* mov rbp, rsp */
        at->framed = p - start;
        EMIT(0x53, 0x48, 0x83, 0xec, 8);           /* push rbx; sub rsp, 8 */
    } else {
        EMIT(0x53);                                /* push rbx */
        at->pushed = p - start;
        EMIT(0x48, 0x81, 0xec);                    /* sub rsp, frame */
        EMIT_AS(uint32_t, at->frame);
        at->framed = p - start;
    }
    EMIT(0xb9);                                    /* mov ecx, times */
    EMIT_AS(uint32_t, 20 + which % 200);
    uint8_t *loop = p;
    EMIT(0x69, 0xc0);                              /* imul eax, eax, factor */
    EMIT_AS(uint32_t, which * 2654435761u + version);
    EMIT(0x01, 0xf0, 0xff, 0xc9);                  /* add eax, esi; dec ecx */
    EMIT(0x75, (uint8_t)(loop - (p + 2)));         /* jnz loop */
    if (which % 5) {
        EMIT(0x85, 0xff, 0x74, 15, 0x8d, 0x7f, 0xff); /* test edi, edi; jz over; lea edi, [rdi-1] */
        EMIT(0x48, 0xb8);                          /* mov rax, where its callee is told */
        EMIT_AS(uint64_t, (uintptr_t)&table[(which * 31u + 7) % hot]);
        EMIT(0xff, 0x10);                          /* call [rax] */
    }
    uint32_t pad = (which * 7919u + version * 101) % 300;
    EMIT(0xe9);                                    /* jmp over the padding */
    EMIT_AS(uint32_t, pad);
    memset(p, 0x90, pad);
    p += pad;
    if (frame_pointers) {
        EMIT(0x48, 0x83, 0xc4, 8, 0x5b, 0x5d);     /* add rsp, 8; pop rbx; pop rbp */
        at->unframed = at->popped = p - start;
    } else {
        EMIT(0x48, 0x81, 0xc4);                    /* add rsp, frame */
        EMIT_AS(uint32_t, at->frame);
        at->unframed = p - start;
        EMIT(0x5b);                                /* pop rbx */
        at->popped = p - start;
    }
    EMIT(0xc3);
    return p - start;
}

static uint8_t *advance(uint8_t *p, uint32_t by)
{
    if (by < 256)
        EMIT(0x02, by);                            /* DW_CFA_advance_loc1 */
    else
        EMIT(0x03, by, by >> 8);                   /* DW_CFA_advance_loc2 */
    return p;
}

/* The unwinding tables, for where they would stand behind the code: a CIE, an FDE, a terminator, a header. */
static void put_unwinding(uint32_t size, const struct offsets *at)
{
    static uint8_t tables[512];
    memset(tables, 0, sizeof tables);
    int behind = (size + 7) / 8 * 8;
    uint8_t *p = tables;
    EMIT_AS(uint32_t, 20);
    EMIT(0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0);
    uint8_t *fde = p;
    p += 4;
    EMIT_AS(uint32_t, p - tables);
    EMIT_AS(int32_t, -(behind + (int)(p - tables)));
    EMIT_AS(uint32_t, size);
    EMIT(0);
    p = advance(p, at->pushed);
    EMIT(0x0e, 16);                                /* DW_CFA_def_cfa_offset */
    if (frame_pointers) {
        EMIT(0x86, 2);                             /* rbp at cfa-16 */
        p = advance(p, at->framed - at->pushed);
        EMIT(0x0d, 6);                             /* DW_CFA_def_cfa_register rbp */
        p = advance(p, at->popped - at->framed);
        EMIT(0x0c, 7, 8);                          /* DW_CFA_def_cfa rsp 8 */
    } else {
        EMIT(0x83, 2);                             /* rbx at cfa-16 */
        p = advance(p, at->framed - at->pushed);
        uint32_t all = 16 + at->frame;
        EMIT(0x0e, (all & 127) | (all > 127) << 7);
        if (all > 127)
            EMIT(all >> 7);
        p = advance(p, at->unframed - at->framed);
        EMIT(0x0e, 16);
        p = advance(p, at->popped - at->unframed);
        EMIT(0x0e, 8);
    }
    while ((p - fde) % 8)
        EMIT(0);
    *(uint32_t *)fde = p - fde - 4;
    p += 4;
    uint8_t *header = p;
    EMIT(1, 0x1b, 3, 0x3b);
    EMIT_AS(int32_t, -(int)(p - tables));
    EMIT_AS(uint32_t, 1);
    EMIT_AS(int32_t, -(behind + (int)(header - tables)));
    EMIT_AS(int32_t, fde - header);
    uint64_t words[3] = { p - tables, p - header, p - tables };
    put_prefix(4, 40 + words[0]);
    put(words, sizeof words);
    put(tables, words[0]);
}

static void put_lines(uint8_t *at, uint32_t size, int which)
{
    uint8_t entries[256], *p = entries;
    int count = 1 + which % 4;
    for (int k = 0; k < count; k++) {
        EMIT_AS(uint64_t, (uintptr_t)at + (uint64_t)size * k / count);
        EMIT_AS(uint32_t, 10 + which + 2 * k);
        EMIT_AS(uint32_t, 0);
        if (k)
            EMIT(0xff, 0);
        else
            p += sprintf((char *)p, "/src/made-%d.jit", which % 7) + 1;
    }
    uint64_t words[2] = { (uintptr_t)at, count };
    put_prefix(2, 32 + (p - entries));
    put(words, sizeof words);
    put(entries, p - entries);
}

struct place { uint32_t pid, tid; uint64_t vma; };

static struct place place(uint8_t *at)
{
    return (struct place){ getpid(), getpid(), (uintptr_t)at };
}

/* Makes a function's next version there, and tells of it. */
static void make(int which, uint8_t *at, int version)
{
    struct offsets offsets;
    struct function *function = &made[which];
    *function = (struct function){ at, compile(at, which, version, &offsets), numbers++, version };
    char name[64];
    int length = sprintf(name, version ? "jitted %05d again(%d)" : "jitted_%05d", which, version) + 1;
    put_lines(at, function->size, which);
    put_unwinding(function->size, &offsets);
    struct place where = place(at);
    uint64_t words[3] = { (uintptr_t)at, function->size, function->number };
    put_prefix(0, 56 + length + function->size);
    put(&where, sizeof where);
    put(words, sizeof words);
    put(name, length);
    put(at, function->size);
    table[which] = at;
}

/* Makes a function that nobody knows yet, or its next version, in a place of its own. */
static void make_somewhere(int which, int version)
{
    struct offsets offsets;
    static uint8_t trial[LARGEST];
    make(which, room(compile(trial, which, version, &offsets)), version);
}

/* Makes a function's next version in a place that has room for so much. */
static void make_again(int which, uint8_t *at, uint32_t size)
{
    struct offsets offsets;
    static uint8_t trial[LARGEST];
    int version = made[which].version + 1;
    if (compile(trial, which, version, &offsets) <= size)
        make(which, at, version);
    else
        make_somewhere(which, version);
}

static void move(int which)
{
    struct function *function = &made[which];
    uint8_t *from = function->at, *to = room(function->size);
    memcpy(to, from, function->size);
    struct place where = place(to);
    uint64_t words[4] = { (uintptr_t)from, (uintptr_t)to, function->size, function->number };
    put_prefix(1, 64);
    put(&where, sizeof where);
    put(words, sizeof words);
    function->at = to;
    table[which] = to;
    int other = some(hot);
    if (other != which)
        make_again(other, from, function->size);
}

static void begin(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/jit-%d.dump", dir, getpid());
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0644);
    if (fd < 0 || !(dump = fdopen(fd, "w+")))
        exit(7);
    struct { uint32_t magic, version, size, machine, pad, pid; uint64_t time, flags; } header =
        { 0x4a695444, 1, 40, 62, 0, getpid(), now(), 0 };
    put(&header, sizeof header);
    /* By this a profiler sees it. */
    if (mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
        exit(9);
}

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "n:H:r:c:f")) > 0) {
        switch (option) {
        case 'n': functions = atoi(optarg); break;
        case 'H': hot = atoi(optarg); break;
        case 'r': rounds = atoi(optarg); break;
        case 'c': calls = atoi(optarg); break;
        case 'f': frame_pointers = 1; break;
        default: return 2;
        }
    }
    if (optind != argc - 1 || hot < 1 || functions * 3 / 4 < hot)
        return 2;
    made = calloc(functions, sizeof *made);
    table = calloc(functions, sizeof *table);
    begin(argv[optind]);
    int first = functions * 3 / 4, known = 0;
    while (known < first)
        make_somewhere(known++, 0);
    for (int round = 1; round <= rounds; round++) {
        for (int call = 0; call < calls; call++)
            ((int (*)(int, int))table[some(hot)])(4, call);
        move(some(hot));
        int which = some(hot);
        make_again(which, made[which].at, made[which].size);
        while (known < first + (long)(functions - first) * round / rounds)
            make_somewhere(known++, 0);
    }
    put_prefix(3, 16);
    return fclose(dump) ? 8 : 0;
}
