/*
 * The textbook's way of changing a file in place with threads: map it, cut it into as many parts as there are
 * threads, and let each XOR its part byte by byte through a pointer to a struct.
 *
 * The loop is what is measured, so it stays as a student writes it: `part->data` is a pointer to char, a store through it
 * may change the struct itself as far as the compiler knows, and so it loads pointer and length again for every
 * byte and makes no vector instructions of the loop. `make check` looks whether that is still so.
 *
 * Usage: xor [FOLDER]. Makes a file of 64 MiB there, fills it with 'A' in the mapping, so that every page is mapped and
 * dirty, times the XOR alone (starting the threads, their work, waiting for them), checks every byte, deletes the file,
 * and prints one JSON object.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { FILE_LENGTH_BYTES = 64 << 20, THREADS = 4, FILL = 0x41, MASK = 0xAA, RESULT = 0xEB };

struct part {
    char *data;
    size_t length;
    int id;
};

static void fail(const char *what) {
    fprintf(stderr, "xor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *xor_part(void *argument) {
    struct part *part = argument;
    for (size_t i = 0; i < part->length; i++) {
        part->data[i] ^= MASK;
    }
    return NULL;
}

static double seconds_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) fail("clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Without a name from the start, so that nothing is left behind however the program ends. */
static char *map_scratch_file(const char *folder) {
    char name[4096];
    if (snprintf(name, sizeof name, "%s/textbook-xor.XXXXXX", folder) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        fail(folder);
    }
    int file = mkstemp(name);
    if (file < 0) fail(name);
    if (unlink(name) != 0) fail("unlink");
    /* A mapping of a file with holes would end in SIGBUS on a full disk. */
    int error = posix_fallocate(file, 0, FILE_LENGTH_BYTES);
    if (error != 0) {
        errno = error;
        fail("posix_fallocate");
    }
    char *data = mmap(NULL, FILE_LENGTH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) fail("mmap");
    if (close(file) != 0) fail("close");
    return data;
}

static double xor_with_threads(char *data) {
    pthread_t threads[THREADS];
    struct part parts[THREADS];
    double started = seconds_now();
    for (int i = 0; i < THREADS; i++) {
        size_t length = FILE_LENGTH_BYTES / THREADS;
        parts[i] = (struct part){.data = data + (size_t)i * length, .length = length, .id = i};
        errno = pthread_create(&threads[i], NULL, xor_part, &parts[i]);
        if (errno != 0) fail("pthread_create");
    }
    for (int i = 0; i < THREADS; i++) {
        errno = pthread_join(threads[i], NULL);
        if (errno != 0) fail("pthread_join");
    }
    return seconds_now() - started;
}

int main(int argc, char **argv) {
    if (argc > 2) {
        fprintf(stderr, "usage: xor [FOLDER]\n");
        return 2;
    }
    char *data = map_scratch_file(argc == 2 ? argv[1] : ".");
    memset(data, FILL, FILE_LENGTH_BYTES);
    double seconds = xor_with_threads(data);
    for (size_t i = 0; i < FILE_LENGTH_BYTES; i++) {
        if ((unsigned char)data[i] != RESULT) {
            fprintf(stderr, "xor: byte %zu is 0x%02x, not 0x%02x\n", i, (unsigned char)data[i], RESULT);
            return 1;
        }
    }
    printf("{\"bytes\":%d,\"threads\":%d,\"seconds\":%.9f,\"verified\":true}\n", FILE_LENGTH_BYTES, THREADS, seconds);
    return 0;
}
