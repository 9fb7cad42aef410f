/*
 * The peer of the table bench's filters in C: DPDK's access control library, driven through its documented API. Reads rules and
 * packets, builds, classifies in bulk by each algorithm that this machine has, in turn, and prints one line of JSON; the actions
 * that it found go to a file, to be compared.
 *
 *   acl RULES PACKETS ACTIONS RUNS [EAL options]
 *
 * All runs take the packets from the start, in bursts of 64. The first rule that matches wins; 0 stands for none.
 */

#include <inttypes.h>
#include <netinet/in.h>

#include <rte_acl.h>
#include <rte_eal.h>

#define PEER "acl"
#include "peer.h"

#define BURST 64
#define ALGORITHMS 5
enum { PROTO, DST, SRC, PAD, PORT, FIELDS };

/* As table-filters.mjs writes them. */
struct rule {
	uint32_t src, dst;
	uint8_t src_length, dst_length, proto, proto_mask;
	uint16_t first, last;
	uint32_t action;
};

/* What the library reads, in network order but for one byte; fields after the first are gathered by four bytes. */
struct packet {
	uint32_t proto, dst, src;
	uint16_t pad, port;
};

RTE_ACL_RULE_DEF(acl_rule, FIELDS);

static const struct rte_acl_field_def fields[FIELDS] = {
	{ RTE_ACL_FIELD_TYPE_BITMASK, 1, PROTO, 0, offsetof(struct packet, proto) },
	{ RTE_ACL_FIELD_TYPE_MASK, 4, DST, 1, offsetof(struct packet, dst) },
	{ RTE_ACL_FIELD_TYPE_MASK, 4, SRC, 2, offsetof(struct packet, src) },
	{ RTE_ACL_FIELD_TYPE_RANGE, 2, PAD, 3, offsetof(struct packet, pad) },
	{ RTE_ACL_FIELD_TYPE_RANGE, 2, PORT, 3, offsetof(struct packet, port) },
};
static const enum rte_acl_classify_alg algorithms[ALGORITHMS] = {
	RTE_ACL_CLASSIFY_SCALAR, RTE_ACL_CLASSIFY_SSE, RTE_ACL_CLASSIFY_AVX2, RTE_ACL_CLASSIFY_AVX512X16, RTE_ACL_CLASSIFY_AVX512X32,
};
static const char *const names[ALGORITHMS] = { "scalar", "sse", "avx2", "avx512x16", "avx512x32" };

static struct rte_acl_ctx *build(const struct rule *rules, size_t count)
{
	struct rte_acl_param param = { .name = "bench", .socket_id = SOCKET_ID_ANY, .rule_size = RTE_ACL_RULE_SZ(FIELDS), .max_rule_num = (uint32_t)count };
	struct rte_acl_ctx *ctx = rte_acl_create(&param);
	if (ctx == NULL) fail("rte_acl_create");
	for (size_t i = 0; i < count; i++) {
		const struct rule *from = &rules[i];
		struct acl_rule rule = { .data = { .category_mask = 1, .priority = (int32_t)(RTE_ACL_MAX_PRIORITY - i), .userdata = from->action } };
		rule.field[PROTO].value.u8 = from->proto;
		rule.field[PROTO].mask_range.u8 = from->proto_mask;
		rule.field[DST].value.u32 = from->dst;
		rule.field[DST].mask_range.u32 = from->dst_length;
		rule.field[SRC].value.u32 = from->src;
		rule.field[SRC].mask_range.u32 = from->src_length;
		rule.field[PAD].mask_range.u16 = UINT16_MAX;
		rule.field[PORT].value.u16 = from->first;
		rule.field[PORT].mask_range.u16 = from->last;
		if (rte_acl_add_rules(ctx, (struct rte_acl_rule *)&rule, 1) != 0) fail("rte_acl_add_rules");
	}
	struct rte_acl_config config = { .num_categories = 1, .num_fields = FIELDS };
	for (int i = 0; i < FIELDS; i++) config.defs[i] = fields[i];
	if (rte_acl_build(ctx, &config) != 0) fail("rte_acl_build");
	return ctx;
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "acl RULES PACKETS ACTIONS RUNS [EAL options]\n");
		return 64;
	}
	/* The EAL takes what follows our own arguments, with a program name before it. */
	int runs = atoi(argv[4]);
	char **eal = &argv[4];
	eal[0] = argv[0];
	if (rte_eal_init(argc - 4, eal) < 0) fail("rte_eal_init");
	size_t rule_bytes, packet_bytes;
	const struct rule *rules = read_file(argv[1], &rule_bytes);
	const struct packet *packets = read_file(argv[2], &packet_bytes);
	size_t count = packet_bytes / sizeof(*packets) / BURST * BURST;
	size_t before = heap_bytes();
	double start = now();
	struct rte_acl_ctx *ctx = build(rules, rule_bytes / sizeof(*rules));
	double built = now() - start;
	size_t used = heap_bytes() - before;
	uint32_t *actions = malloc(count * sizeof(*actions));
	if (actions == NULL) fail("malloc");
	printf("{\"buildMs\":%.1f,\"bytes\":%zu,\"rates\":{", built * 1e3, used);
	const char *comma = "";
	for (int a = 0; a < ALGORITHMS; a++) {
		double rates[runs];
		if (rte_acl_set_ctx_classify(ctx, algorithms[a]) != 0) continue;
		for (int run = 0; run < runs; run++) {
			double from = now();
			for (size_t at = 0; at < count; at += BURST) {
				const uint8_t *data[BURST];
				for (int i = 0; i < BURST; i++) data[i] = (const uint8_t *)&packets[at + i];
				if (rte_acl_classify(ctx, data, &actions[at], BURST, 1) != 0) fail("rte_acl_classify");
			}
			rates[run] = (double)count / (now() - from);
		}
		qsort(rates, (size_t)runs, sizeof(*rates), by_speed);
		printf("%s\"%s\":%.0f", comma, names[a], rates[runs / 2]);
		comma = ",";
	}
	printf("}}\n");
	FILE *out = fopen(argv[3], "wb");
	if (out == NULL || fwrite(actions, sizeof(*actions), count, out) != count || fclose(out) != 0) fail(argv[3]);
	return 0;
}
