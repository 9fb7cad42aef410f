/*
 * The peer of the table bench in C: DPDK's FIB libraries (DIR-24-8 and its AVX-512 bulk lookup for IPv4, the trie for IPv6), driven
 * through their documented API.
 *
 *   fib 4|6 PREFIXES [EAL options]
 *
 *   PREFIXES   records: address (4 or 16 bytes; IPv4 as a little-endian word, IPv6 in network order), length u16, next hop u16
 *
 * Builds, and says in a line of JSON what that took. Then each line of its input names a file of addresses, alike, and is answered
 * by a line of rates: by each form in turn, in bursts of 64, PASSES times to warm up and as often measured. Next hops are added up,
 * so that no compiler drops them. The AVX-512 form needs --force-max-simd-bitwidth=512 among the EAL options; where DPDK refuses it,
 * its rate is null. Groups of 256 addresses, which DPDK asks for in advance, are as many as the prefixes need.
 */

#include <inttypes.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_fib.h>
#include <rte_fib6.h>

#define PEER "fib"
#include "peer.h"

#define BURST 64
#define PASSES 4
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

/* A family's FIB. */
struct fib {
	void *built;
	size_t address_bytes;
	int (*select)(void *built, int form);
	uint64_t (*pass)(void *built, const void *trace, size_t lookups);
};

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

static void *build4(const struct prefix4 *prefixes, size_t count)
{
	/* Next hops of 2 bytes allow 2^15 - 1 groups of 256 addresses; sets that need more take 4 bytes. */
	uint32_t groups = groups4(prefixes, count) + 1;
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = NO_HOP,
		.max_routes = (int)count + 16,
		.dir24_8 = { .nh_sz = groups <= TBL8_MAX_2B ? RTE_FIB_DIR24_8_2B : RTE_FIB_DIR24_8_4B, .num_tbl8 = groups },
	};
	struct rte_fib *fib = rte_fib_create("bench", 0, &conf);
	if (fib == NULL) fail("rte_fib_create");
	for (size_t i = 0; i < count; i++)
		if (rte_fib_add(fib, prefixes[i].address, (uint8_t)prefixes[i].length, prefixes[i].hop) != 0) fail("rte_fib_add");
	return fib;
}

static int select4(void *fib, int form)
{
	return rte_fib_select_lookup(fib, form ? RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512 : RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO);
}

static uint64_t pass4(void *fib, const void *trace, size_t lookups)
{
	const uint32_t *addresses = trace;
	uint64_t hops[BURST], sum = 0;
	for (size_t at = 0; at < lookups; at += BURST) {
		rte_fib_lookup_bulk(fib, (uint32_t *)(uintptr_t)&addresses[at], hops, BURST);
		for (int i = 0; i < BURST; i++) sum += hops[i];
	}
	return sum;
}

static void *build6(const struct prefix6 *prefixes, size_t count)
{
	struct rte_fib6_conf conf = {
		.type = RTE_FIB6_TRIE,
		.default_nh = NO_HOP,
		.max_routes = (int)count + 16,
		.trie = { .nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = 1 << 20 },
	};
	struct rte_fib6 *fib = rte_fib6_create("bench", 0, &conf);
	if (fib == NULL) fail("rte_fib6_create");
	for (size_t i = 0; i < count; i++) {
		struct rte_ipv6_addr address;
		memcpy(address.a, prefixes[i].address, sizeof(address.a));
		if (rte_fib6_add(fib, &address, (uint8_t)prefixes[i].length, prefixes[i].hop) != 0) fail("rte_fib6_add");
	}
	return fib;
}

static int select6(void *fib, int form)
{
	return rte_fib6_select_lookup(fib, form ? RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512 : RTE_FIB6_LOOKUP_TRIE_SCALAR);
}

static uint64_t pass6(void *fib, const void *trace, size_t lookups)
{
	const struct rte_ipv6_addr *addresses = trace;
	uint64_t hops[BURST], sum = 0;
	for (size_t at = 0; at < lookups; at += BURST) {
		rte_fib6_lookup_bulk(fib, &addresses[at], hops, BURST);
		for (int i = 0; i < BURST; i++) sum += hops[i];
	}
	return sum;
}

static void look(const struct fib *fib, const char *trace_path)
{
	size_t bytes;
	void *trace = read_file(trace_path, &bytes);
	size_t lookups = bytes / fib->address_bytes / BURST * BURST;
	uint64_t sum = 0;
	printf("{");
	for (int form = 0; form < FORMS; form++) {
		printf(form ? ",\"avx512\":" : "\"scalar\":");
		if (fib->select(fib->built, form) != 0) {
			printf("null");
			continue;
		}
		double from = 0;
		for (int pass = 0; pass < 2 * PASSES; pass++) {
			if (pass == PASSES) from = now();
			sum += fib->pass(fib->built, trace, lookups);
		}
		printf("%.0f", (double)(lookups * PASSES) / (now() - from));
	}
	printf(",\"sum\":%" PRIu64 "}\n", sum);
	fflush(stdout);
	free(trace);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "fib 4|6 PREFIXES [EAL options]\n");
		return 64;
	}
	int is4 = strcmp(argv[1], "4") == 0;
	size_t bytes;
	const void *prefixes = read_file(argv[2], &bytes);
	/* The EAL takes what follows our own arguments, with a program name before it. */
	char **eal = &argv[2];
	eal[0] = argv[0];
	if (rte_eal_init(argc - 2, eal) < 0) fail("rte_eal_init");
	size_t before = heap_bytes();
	double start = now();
	struct fib fib = is4 ? (struct fib){ build4(prefixes, bytes / sizeof(struct prefix4)), 4, select4, pass4 }
			     : (struct fib){ build6(prefixes, bytes / sizeof(struct prefix6)), 16, select6, pass6 };
	printf("{\"buildMs\":%.1f,\"bytes\":%zu}\n", (now() - start) * 1e3, heap_bytes() - before);
	fflush(stdout);
	char path[4096];
	while (fgets(path, sizeof(path), stdin) != NULL) {
		path[strcspn(path, "\n")] = 0;
		look(&fib, path);
	}
	rte_eal_cleanup();
	return 0;
}
