/*
 * The peer of the table bench in C: DPDK's FIB libraries (DIR-24-8 and its AVX-512 bulk lookup for IPv4, the trie for IPv6), driven
 * through their documented API. Reads prefixes with a next hop and a trace, builds, looks the trace up in bulk, and prints one
 * line of JSON.
 *
 *   fib 4|6 PREFIXES TRACE RUNS [EAL options]
 *
 *   PREFIXES   records: address (4 or 16 bytes; IPv4 as a little-endian word, IPv6 in network order), length u16, next hop u16
 *   TRACE      addresses, alike
 *
 * All lookups of a run take the trace from its start, in bursts of 64, and add up their next hops, so that no compiler drops them.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_malloc.h>

#define BURST 64
/* The most that rte_fib takes with next hops of 2 bytes. */
#define TBL8_MAX 32767
/* A next hop that no prefix has: no match. */
#define NO_HOP 0

struct prefix4 {
	uint32_t address;
	uint16_t length;
	uint16_t hop;
};

struct prefix6 {
	uint8_t address[16];
	uint16_t length;
	uint16_t hop;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "fib: %s: %s\n", what, rte_strerror(rte_errno));
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

static void report(double build, size_t bytes, double *rates, int runs, uint64_t sum)
{
	qsort(rates, (size_t)runs, sizeof(*rates), by_speed);
	printf("{\"buildMs\":%.1f,\"bytes\":%zu,\"lookupsPerSecond\":%.0f,\"sum\":%" PRIu64 "}\n", build * 1e3, bytes,
	       rates[runs / 2], sum);
}

static void run4(const char *prefix_path, const char *trace_path, int runs)
{
	size_t bytes, trace_bytes;
	const struct prefix4 *prefixes = read_file(prefix_path, &bytes);
	const uint32_t *trace = read_file(trace_path, &trace_bytes);
	size_t count = bytes / sizeof(*prefixes), lookups = trace_bytes / sizeof(*trace) / BURST * BURST;
	/* Next hops of 2 bytes allow 2^15 - 1 groups of 256 addresses; sets that need more take 4 bytes. */
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = NO_HOP,
		.max_routes = (int)count + 16,
		.dir24_8 = { .nh_sz = RTE_FIB_DIR24_8_2B, .num_tbl8 = TBL8_MAX },
	};
	size_t before = heap_bytes();
	double start = now();
	struct rte_fib *fib = NULL;
	for (int wide = 0; wide < 2; wide++) {
		if (wide) {
			rte_fib_free(fib);
			conf.dir24_8.nh_sz = RTE_FIB_DIR24_8_4B;
			conf.dir24_8.num_tbl8 = 1 << 20;
			before = heap_bytes();
			start = now();
		}
		fib = rte_fib_create("bench", 0, &conf);
		if (fib == NULL) fail("rte_fib_create");
		size_t i = 0;
		while (i < count && rte_fib_add(fib, prefixes[i].address, (uint8_t)prefixes[i].length, prefixes[i].hop) == 0) i++;
		if (i == count) break;
		if (wide) fail("rte_fib_add");
	}
	double build = now() - start;
	size_t used = heap_bytes() - before;
	if (rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512) != 0)
		rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DEFAULT);
	double rates[runs];
	uint64_t hops[BURST], sum = 0;
	for (int run = 0; run < runs; run++) {
		double from = now();
		sum = 0;
		for (size_t at = 0; at < lookups; at += BURST) {
			rte_fib_lookup_bulk(fib, (uint32_t *)(uintptr_t)&trace[at], hops, BURST);
			for (int i = 0; i < BURST; i++) sum += hops[i];
		}
		rates[run] = (double)lookups / (now() - from);
	}
	report(build, used, rates, runs, sum);
}

static void run6(const char *prefix_path, const char *trace_path, int runs)
{
	size_t bytes, trace_bytes;
	const struct prefix6 *prefixes = read_file(prefix_path, &bytes);
	const struct rte_ipv6_addr *trace = read_file(trace_path, &trace_bytes);
	size_t count = bytes / sizeof(*prefixes), lookups = trace_bytes / sizeof(*trace) / BURST * BURST;
	struct rte_fib6_conf conf = {
		.type = RTE_FIB6_TRIE,
		.default_nh = NO_HOP,
		.max_routes = (int)count + 16,
		.trie = { .nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = 1 << 20 },
	};
	size_t before = heap_bytes();
	double start = now();
	struct rte_fib6 *fib = rte_fib6_create("bench", 0, &conf);
	if (fib == NULL) fail("rte_fib6_create");
	for (size_t i = 0; i < count; i++) {
		struct rte_ipv6_addr address;
		memcpy(address.a, prefixes[i].address, sizeof(address.a));
		if (rte_fib6_add(fib, &address, (uint8_t)prefixes[i].length, prefixes[i].hop) != 0) fail("rte_fib6_add");
	}
	double build = now() - start;
	size_t used = heap_bytes() - before;
	if (rte_fib6_select_lookup(fib, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512) != 0)
		rte_fib6_select_lookup(fib, RTE_FIB6_LOOKUP_DEFAULT);
	double rates[runs];
	uint64_t hops[BURST], sum = 0;
	for (int run = 0; run < runs; run++) {
		double from = now();
		sum = 0;
		for (size_t at = 0; at < lookups; at += BURST) {
			rte_fib6_lookup_bulk(fib, &trace[at], hops, BURST);
			for (int i = 0; i < BURST; i++) sum += hops[i];
		}
		rates[run] = (double)lookups / (now() - from);
	}
	report(build, used, rates, runs, sum);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "fib 4|6 PREFIXES TRACE RUNS [EAL options]\n");
		return 64;
	}
	/* The EAL takes what follows our own arguments, with a program name before it. */
	char **eal = &argv[4];
	char *runs_text = argv[4];
	int runs = atoi(runs_text);
	if (runs < 1) fail("RUNS");
	eal[0] = argv[0];
	if (rte_eal_init(argc - 4, eal) < 0) fail("rte_eal_init");
	if (strcmp(argv[1], "4") == 0)
		run4(argv[2], argv[3], runs);
	else
		run6(argv[2], argv[3], runs);
	rte_eal_cleanup();
	return 0;
}
