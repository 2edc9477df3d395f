/* Threads that take the steps of a file in file order, as the product's workers do. */
#ifndef WORKERS_H
#define WORKERS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_THREADS = 64 };

struct job {
    int file;
    size_t length;
    size_t step;
    char *mapping;
    atomic_size_t next;
};

static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* The next step; 0 at the end. */
static inline size_t take_step(struct job *job, size_t *offset) {
    *offset = atomic_fetch_add(&job->next, job->step);
    if (*offset >= job->length) return 0;
    size_t left = job->length - *offset;
    return left < job->step ? left : job->step;
}

static inline void open_job(struct job *job, const char *path, int flags, size_t step) {
    struct stat status;
    job->file = open(path, flags | O_CLOEXEC);
    if (job->file < 0 || fstat(job->file, &status) != 0) fail(path);
    job->length = (size_t)status.st_size;
    job->step = step;
    atomic_init(&job->next, 0);
}

static inline int parse_threads(const char *text) {
    char *end;
    long threads = strtol(text, &end, 10);
    if (*end != 0 || threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "the number of threads must be 1 to %d\n", MAX_THREADS);
        exit(2);
    }
    return (int)threads;
}

static inline void run_workers(int threads, void *(*work)(void *), struct job *job) {
    pthread_t ids[MAX_THREADS];
    for (int i = 0; i < threads; i++) {
        errno = pthread_create(&ids[i], NULL, work, job);
        if (errno != 0) fail("pthread_create");
    }
    for (int i = 0; i < threads; i++) {
        errno = pthread_join(ids[i], NULL);
        if (errno != 0) fail("pthread_join");
    }
}

#endif
