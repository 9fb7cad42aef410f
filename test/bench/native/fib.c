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
 * The scalar and the AVX-512 form take turns. The latter needs --force-max-simd-bitwidth=512 among the EAL options; where DPDK refuses
 * it, its rate is null. Groups of 256 addresses, which DPDK asks for in advance, are as many as the prefixes need.
 */

#include <inttypes.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_fib.h>
#include <rte_fib6.h>

#define PEER "fib"
#include "peer.h"

#define BURST 64
/* The most that rte_fib takes with next hops of 2 bytes. */
#define TBL8_MAX_2B 32767
#define FORMS 2
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

/* Rates of a form that was refused are below 0. */
static void report(double build, size_t bytes, double *scalar, double *vector, int runs, uint64_t sum)
{
	qsort(scalar, (size_t)runs, sizeof(*scalar), by_speed);
	qsort(vector, (size_t)runs, sizeof(*vector), by_speed);
	printf("{\"buildMs\":%.1f,\"bytes\":%zu,\"scalar\":%.0f,", build * 1e3, bytes, scalar[runs / 2]);
	if (vector[runs / 2] < 0) printf("\"avx512\":null,");
	else printf("\"avx512\":%.0f,", vector[runs / 2]);
	printf("\"sum\":%" PRIu64 "}\n", sum);
}

/* How many groups of 256 addresses hold prefixes longer than 24 bits; prefixes are in order within each next hop. */
static uint32_t groups4(const struct prefix4 *prefixes, size_t count)
{
	uint8_t *seen = calloc(1, 1 << 21);
	uint32_t groups = 0;
	if (seen == NULL) fail("calloc");
	for (size_t i = 0; i < count; i++) {
		uint32_t group = prefixes[i].address >> 8;
		if (prefixes[i].length <= 24 || (seen[group >> 3] & (1 << (group & 7)))) continue;
		seen[group >> 3] |= (uint8_t)(1 << (group & 7));
		groups++;
	}
	free(seen);
	return groups;
}

static void run4(const char *prefix_path, const char *trace_path, int runs)
{
	size_t bytes, trace_bytes;
	const struct prefix4 *prefixes = read_file(prefix_path, &bytes);
	const uint32_t *trace = read_file(trace_path, &trace_bytes);
	size_t count = bytes / sizeof(*prefixes), lookups = trace_bytes / sizeof(*trace) / BURST * BURST;
	/* Next hops of 2 bytes allow 2^15 - 1 groups of 256 addresses; sets that need more take 4 bytes. */
	uint32_t groups = groups4(prefixes, count) + 1;
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = NO_HOP,
		.max_routes = (int)count + 16,
		.dir24_8 = { .nh_sz = groups <= TBL8_MAX_2B ? RTE_FIB_DIR24_8_2B : RTE_FIB_DIR24_8_4B, .num_tbl8 = groups },
	};
	size_t before = heap_bytes();
	double start = now();
	struct rte_fib *fib = rte_fib_create("bench", 0, &conf);
	if (fib == NULL) fail("rte_fib_create");
	for (size_t i = 0; i < count; i++)
		if (rte_fib_add(fib, prefixes[i].address, (uint8_t)prefixes[i].length, prefixes[i].hop) != 0) fail("rte_fib_add");
	double build = now() - start;
	size_t used = heap_bytes() - before;
	double rates[FORMS][runs];
	uint64_t hops[BURST], sum = 0;
	for (int turn = 0; turn < runs * FORMS; turn++) {
		int form = turn % FORMS;
		if (rte_fib_select_lookup(fib, form ? RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512 : RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO) != 0) {
			rates[form][turn / FORMS] = -1;
			continue;
		}
		double from = now();
		sum = 0;
		for (size_t at = 0; at < lookups; at += BURST) {
			rte_fib_lookup_bulk(fib, (uint32_t *)(uintptr_t)&trace[at], hops, BURST);
			for (int i = 0; i < BURST; i++) sum += hops[i];
		}
		rates[form][turn / FORMS] = (double)lookups / (now() - from);
	}
	report(build, used, rates[0], rates[1], runs, sum);
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
	double rates[FORMS][runs];
	uint64_t hops[BURST], sum = 0;
	for (int turn = 0; turn < runs * FORMS; turn++) {
		int form = turn % FORMS;
		if (rte_fib6_select_lookup(fib, form ? RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512 : RTE_FIB6_LOOKUP_TRIE_SCALAR) != 0) {
			rates[form][turn / FORMS] = -1;
			continue;
		}
		double from = now();
		sum = 0;
		for (size_t at = 0; at < lookups; at += BURST) {
			rte_fib6_lookup_bulk(fib, &trace[at], hops, BURST);
			for (int i = 0; i < BURST; i++) sum += hops[i];
		}
		rates[form][turn / FORMS] = (double)lookups / (now() - from);
	}
	report(build, used, rates[0], rates[1], runs, sum);
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
