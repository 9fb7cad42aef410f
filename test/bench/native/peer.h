/* What the peers of the table bench in C share: a clock, an end in words, files and the library's heap. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_errno.h>
#include <rte_malloc.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* a second of a core's time, whoever else runs */
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", PEER, what, rte_strerror(rte_errno));
	exit(1);
}

static void *read_file(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL) fail(path);
	fseek(file, 0, SEEK_END);
	*bytes = (size_t)ftell(file);
	rewind(file);
	void *content = malloc(*bytes == 0 ? 1 : *bytes);
	if (content == NULL || fread(content, 1, *bytes, file) != *bytes) fail(path);
	fclose(file);
	return content;
}

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats;
	return rte_malloc_get_socket_stats(0, &stats) == 0 ? stats.heap_allocsz_bytes : 0;
}

static int by_speed(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}
