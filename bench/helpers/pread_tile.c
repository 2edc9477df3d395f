/*
 * The least that looking at every byte of a file can cost: `pread` into a tile of the size of a core's share of L2, again
 * and again, one tile a thread.
 *
 * Usage: pread-tile FILE THREADS
 */
#define _GNU_SOURCE
#include "workers.h"

enum { TILE_BYTES = 512 << 10, PAGE_BYTES = 4096 };

static void *work(void *argument) {
    struct job *job = argument;
    char *tile = aligned_alloc(PAGE_BYTES, TILE_BYTES);
    size_t offset, length;
    if (tile == NULL) fail("aligned_alloc");
    while ((length = take_step(job, &offset)) > 0) {
        for (size_t done = 0; done < length;) {
            ssize_t count = pread(job->file, tile + done, length - done, (off_t)(offset + done));
            if (count < 0) fail("pread");
            if (count == 0) {
                fprintf(stderr, "pread-tile: the file became shorter\n");
                exit(1);
            }
            done += (size_t)count;
        }
    }
    free(tile);
    return NULL;
}

int main(int argc, char **argv) {
    struct job job;
    if (argc != 3) {
        fprintf(stderr, "usage: pread-tile FILE THREADS\n");
        return 2;
    }
    open_job(&job, argv[1], O_RDONLY, TILE_BYTES);
    run_workers(parse_threads(argv[2]), work, &job);
    return 0;
}
