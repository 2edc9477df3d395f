/*
 * The least that a XOR of a file's mapped and dirty pages can cost: as bench/textbook/xor.c, but with vector instructions, and
 * steps that the threads take as they come. What is left is the way to memory and back.
 *
 * Usage: xor-floor FOLDER THREADS. Prints one JSON object.
 */
#define _GNU_SOURCE
#include "workers.h"

#include <sys/mman.h>
#include <time.h>

enum { FILE_LENGTH_BYTES = 64 << 20, STEP_BYTES = 256 << 10, FILL = 0x41, MASK = 0xAA, RESULT = 0xEB };

static void xor_step(unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) bytes[i] ^= MASK;
}

static void *work(void *argument) {
    struct job *job = argument;
    size_t offset, length;
    while ((length = take_step(job, &offset)) > 0) xor_step((unsigned char *)job->mapping + offset, length);
    return NULL;
}

static double seconds_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) fail("clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    char name[4096];
    if (argc != 3 || snprintf(name, sizeof name, "%s/xor-floor.XXXXXX", argv[1]) >= (int)sizeof name) {
        fprintf(stderr, "usage: xor-floor FOLDER THREADS\n");
        return 2;
    }
    struct job job = {.file = mkstemp(name), .length = FILE_LENGTH_BYTES, .step = STEP_BYTES};
    if (job.file < 0 || unlink(name) != 0) fail(name);
    errno = posix_fallocate(job.file, 0, FILE_LENGTH_BYTES);
    if (errno != 0) fail("posix_fallocate");
    job.mapping = mmap(NULL, job.length, PROT_READ | PROT_WRITE, MAP_SHARED, job.file, 0);
    if (job.mapping == MAP_FAILED) fail("mmap");
    memset(job.mapping, FILL, job.length);
    atomic_init(&job.next, 0);
    double started = seconds_now();
    run_workers(parse_threads(argv[2]), work, &job);
    double seconds = seconds_now() - started;
    for (size_t i = 0; i < job.length; i++) {
        if ((unsigned char)job.mapping[i] != RESULT) {
            fprintf(stderr, "xor-floor: byte %zu is wrong\n", i);
            return 1;
        }
    }
    printf("{\"bytes\":%d,\"seconds\":%.9f,\"verified\":true}\n", FILE_LENGTH_BYTES, seconds);
    return 0;
}
