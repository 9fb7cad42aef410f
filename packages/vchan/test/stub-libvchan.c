/*
 * A libvchan within one process, for the tests of what speaks to the library, by its header: rings between the two
 * ends of a port, and an eventfd of each end that says "look again". As with Xen, a read or write waits where there
 * is nothing or no room (here it ends the process: nobody may get there), an event stays until it is taken, telling
 * is asked for by looking at data or room, and what lies in a ring outlives the other end.
 */
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { DISCONNECTED, CONNECTED, WAITING };

struct ring {
    size_t size, head, used;
    char *bytes;
};

typedef struct libvchan libvchan_t;

struct shared {
    int port;
    struct ring rings[2]; /* to the server, to the client */
    libvchan_t *ends[2];  /* server, client */
    int had_client;
    struct shared *next;
};

struct libvchan {
    struct shared *shared;
    int which, event, port;
    bool wants_data, wants_room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *all;

static libvchan_t *other(libvchan_t *end) { return end->shared == NULL ? NULL : end->shared->ends[!end->which]; }
static struct ring *in_of(libvchan_t *end) { return &end->shared->rings[end->which]; }
static struct ring *out_of(libvchan_t *end) { return &end->shared->rings[!end->which]; }

static void tell(libvchan_t *end) {
    uint64_t one = 1;
    if (end != NULL && write(end->event, &one, sizeof one) < 0) abort();
}

static libvchan_t *end_of(struct shared *shared, int which, int port) {
    libvchan_t *end = calloc(1, sizeof *end);
    end->shared = shared;
    end->which = which;
    end->port = port;
    end->event = eventfd(0, EFD_CLOEXEC);
    return end;
}

libvchan_t *libvchan_server_init(int domain, int port, size_t read_min, size_t write_min) {
    struct shared *shared;
    if (domain > 32751) return NULL;
    shared = calloc(1, sizeof *shared);
    shared->port = port;
    shared->rings[0] = (struct ring){.size = read_min, .bytes = malloc(read_min)};
    shared->rings[1] = (struct ring){.size = write_min, .bytes = malloc(write_min)};
    pthread_mutex_lock(&lock);
    shared->ends[0] = end_of(shared, 0, port);
    shared->next = all;
    all = shared;
    pthread_mutex_unlock(&lock);
    return shared->ends[0];
}

/* Both ends are of one domain here, so that the server is found by its port alone. */
libvchan_t *libvchan_client_init_async(int domain, int port, int *watch_fd) {
    libvchan_t *end;
    if (domain > 32751) return NULL;
    end = end_of(NULL, 1, port);
    *watch_fd = end->event;
    return end;
}

/* 0: connected; 1: nobody serves it yet. */
int libvchan_client_init_async_finish(libvchan_t *end, bool blocking) {
    int left = 1;
    (void)blocking;
    pthread_mutex_lock(&lock);
    for (struct shared *at = all; at != NULL && left == 1; at = at->next)
        if (at->port == end->port && at->ends[0] != NULL && !at->had_client) {
            at->had_client = 1;
            at->ends[1] = end;
            end->shared = at;
            tell(at->ends[0]);
            left = 0;
        }
    pthread_mutex_unlock(&lock);
    return left;
}

/* As libxenvchan asks for ends: by a path that ends with the port, and NULL at once where nobody serves. */
static int port_of(const char *path) { return atoi(strrchr(path, '/') + 1); }

libvchan_t *libxenvchan_server_init(void *log, int domain, const char *path, size_t read_min, size_t write_min) {
    return log != NULL || strncmp(path, "data/vchan/", 11) != 0
        ? NULL
        : libvchan_server_init(domain, port_of(path), read_min, write_min);
}

libvchan_t *libxenvchan_client_init(void *log, int domain, const char *path) {
    int watch_fd;
    if (log != NULL || strncmp(path, "/local/domain/1/data/vchan/7/", 29) != 0) return NULL;
    libvchan_t *end = libvchan_client_init_async(domain, port_of(path), &watch_fd);
    if (libvchan_client_init_async_finish(end, true) == 0) return end;
    close(end->event);
    free(end);
    return NULL;
}

static int copied(struct ring *ring, char *out, const char *in, size_t size) {
    size_t n = out != NULL ? ring->used : ring->size - ring->used;
    if (size < n) n = size;
    if (n == 0) abort(); /* would wait */
    for (size_t i = 0; i < n; i++)
        if (out != NULL) out[i] = ring->bytes[(ring->head + i) % ring->size];
        else ring->bytes[(ring->head + ring->used + i) % ring->size] = in[i];
    if (out != NULL) ring->head = (ring->head + n) % ring->size;
    ring->used += out != NULL ? -n : n;
    return (int)n;
}

int libvchan_read(libvchan_t *end, void *data, size_t size) {
    pthread_mutex_lock(&lock);
    int n = copied(in_of(end), data, NULL, size);
    libvchan_t *peer = other(end);
    if (peer != NULL && peer->wants_room) {
        peer->wants_room = false;
        tell(peer);
    }
    pthread_mutex_unlock(&lock);
    return n;
}

int libvchan_write(libvchan_t *end, const void *data, size_t size) {
    pthread_mutex_lock(&lock);
    libvchan_t *peer = other(end);
    int n = peer == NULL ? -1 : copied(out_of(end), NULL, data, size);
    if (n > 0 && peer->wants_data) {
        peer->wants_data = false;
        tell(peer);
    }
    pthread_mutex_unlock(&lock);
    return n;
}

int libvchan_wait(libvchan_t *end) {
    uint64_t events;
    return read(end->event, &events, sizeof events) == sizeof events ? 0 : -1;
}

int libvchan_fd_for_select(libvchan_t *end) { return end->event; }

int libvchan_is_open(libvchan_t *end) {
    pthread_mutex_lock(&lock);
    int state = other(end) != NULL ? CONNECTED : end->shared->had_client ? DISCONNECTED : WAITING;
    pthread_mutex_unlock(&lock);
    return state;
}

int libvchan_data_ready(libvchan_t *end) {
    pthread_mutex_lock(&lock);
    end->wants_data = true;
    int n = (int)in_of(end)->used;
    pthread_mutex_unlock(&lock);
    return n;
}

int libvchan_buffer_space(libvchan_t *end) {
    pthread_mutex_lock(&lock);
    end->wants_room = true;
    int n = (int)(out_of(end)->size - out_of(end)->used);
    pthread_mutex_unlock(&lock);
    return n;
}

/* How many ends nobody has closed, or of those how many have an event that nobody has taken. */
static int counted(bool with_event) {
    int count = 0;
    pthread_mutex_lock(&lock);
    for (struct shared *at = all; at != NULL; at = at->next)
        for (int which = 0; which < 2; which++)
            if (at->ends[which] != NULL) {
                struct pollfd event = {.fd = at->ends[which]->event, .events = POLLIN};
                count += !with_event || poll(&event, 1, 0) > 0;
            }
    pthread_mutex_unlock(&lock);
    return count;
}

int stub_open(void) { return counted(false); }
int stub_events(void) { return counted(true); }

void libvchan_close(libvchan_t *end) {
    pthread_mutex_lock(&lock);
    struct shared *shared = end->shared;
    if (shared != NULL) {
        tell(other(end));
        shared->ends[end->which] = NULL;
        if (shared->ends[0] == NULL && shared->ends[1] == NULL) {
            struct shared **at = &all;
            while (*at != shared) at = &(*at)->next;
            *at = shared->next;
            free(shared->rings[0].bytes);
            free(shared->rings[1].bytes);
            free(shared);
        }
    }
    close(end->event);
    free(end);
    pthread_mutex_unlock(&lock);
}
