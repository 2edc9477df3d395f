/*
 * The least that changing a file in its mapping can cost: every 2 MiB are populated for writing in one call and XORed in
 * the mapping, with vector instructions, and nothing is made durable.
 *
 * Usage: mapped-xor FILE THREADS
 */
#define _GNU_SOURCE
#include "workers.h"

#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { STEP_BYTES = 2 << 20 };

static void xor_step(char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) bytes[i] ^= (char)0xAA;
}

static void *work(void *argument) {
    struct job *job = argument;
    size_t offset, length;
    while ((length = take_step(job, &offset)) > 0) {
        if (madvise(job->mapping + offset, length, MADV_POPULATE_WRITE) != 0) fail("madvise(MADV_POPULATE_WRITE)");
        xor_step(job->mapping + offset, length);
    }
    return NULL;
}

int main(int argc, char **argv) {
    struct job job;
    if (argc != 3) {
        fprintf(stderr, "usage: mapped-xor FILE THREADS\n");
        return 2;
    }
    open_job(&job, argv[1], O_RDWR, STEP_BYTES);
    job.mapping = mmap(NULL, job.length, PROT_READ | PROT_WRITE, MAP_SHARED, job.file, 0);
    if (job.mapping == MAP_FAILED) fail("mmap");
    run_workers(parse_threads(argv[2]), work, &job);
    if (munmap(job.mapping, job.length) != 0) fail("munmap");
    return 0;
}
