/*
 * Both ends of a resolver, for bench dns: whom it asks, and who asks it. Each is one thread and takes far less
 * than a resolver does.
 *
 *   dns upstream ADDRESS PORT
 *       answers A of any name: 93.184.x.y by the number in its first label, with TTL 60; all else with nothing.
 *   dns ask SERVER PORT FIRST CLIENTS SLOTS RATE SECONDS NAMES DOMAIN
 *       asks n0.DOMAIN to n(NAMES - 1).DOMAIN in turn from CLIENTS addresses that begin with FIRST, by SLOTS
 *       sockets. RATE 0: each socket asks again as soon as it has its answer; else so many questions a second,
 *       answered or not. Tells a line of JSON.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 12, MESSAGE_MAX = 1500, BATCH = 64, IDS = 65536, LOST_US = 2000000 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now_us(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static struct sockaddr_in address_of(const char *text, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) fail(text);
  return address;
}

/* ── whom it asks ── */

/* Turns a question into its answer; returns its length, 0 for what is none. */
static int answered(uint8_t *bytes, int length) {
  int at = HEADER;
  if (length < HEADER + 5 || bytes[2] & 0x80) return 0;
  unsigned number = 0;
  for (int i = 1; i <= bytes[HEADER] && HEADER + i < length; i++)
    if (bytes[HEADER + i] >= '0' && bytes[HEADER + i] <= '9') number = number * 10 + bytes[HEADER + i] - '0';
  while (at < length && bytes[at] != 0) at += bytes[at] + 1;
  at += 5;
  if (at > length) return 0;
  int is_a = bytes[at - 4] == 0 && bytes[at - 3] == 1;
  bytes[2] = 0x80 | (bytes[2] & 0x01);
  bytes[3] = 0x80;
  bytes[6] = 0;
  bytes[7] = is_a;
  memset(bytes + 8, 0, 4);
  if (!is_a) return at;
  const uint8_t record[] = {0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, number >> 8, number};
  memcpy(bytes + at, record, sizeof record);
  return at + sizeof record;
}

static void upstream(const char *address, int port) {
  static uint8_t bytes[BATCH][MESSAGE_MAX];
  static struct sockaddr_in from[BATCH];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  struct sockaddr_in own = address_of(address, port);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int room = 1 << 22;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0) fail("bind");
  puts("ready");
  fflush(stdout);
  for (;;) {
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){bytes[i], MESSAGE_MAX - 32};
      messages[i].msg_hdr = (struct msghdr){&from[i], sizeof from[i], &parts[i], 1, NULL, 0, 0};
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("recvmmsg");
    for (int i = 0; i < count; i++) parts[i].iov_len = answered(bytes[i], messages[i].msg_len);
    for (int sent = 0; sent < count;) {
      int some = sendmmsg(fd, messages + sent, count - sent, 0);
      sent += some > 0 ? some : 1;
    }
  }
}

/* ── who asks it ── */

struct slot {
  int fd;
  uint16_t id;
  uint64_t *sent_us; /* by id; 0 once answered */
};

static uint32_t *latencies;
static uint64_t answered_count, asked_count, lost_count, rcodes[16];
static unsigned names_count;
static const char *domain;

static void ask(struct slot *slot) {
  uint8_t bytes[512] = {0};
  char name[256];
  int at = HEADER;
  uint16_t id = ++slot->id;
  if (slot->sent_us[id] != 0) lost_count++;
  bytes[0] = id >> 8;
  bytes[1] = id;
  bytes[2] = 1;
  bytes[5] = 1;
  snprintf(name, sizeof name, "n%u.%s", (unsigned)(asked_count % names_count), domain);
  for (char *label = strtok(name, "."); label != NULL; label = strtok(NULL, ".")) {
    bytes[at] = strlen(label);
    memcpy(bytes + at + 1, label, bytes[at]);
    at += bytes[at] + 1;
  }
  at += 1;
  bytes[at + 1] = 1;
  bytes[at + 3] = 1;
  asked_count++;
  slot->sent_us[id] = now_us();
  if (send(slot->fd, bytes, at + 4, MSG_DONTWAIT) < 0 && errno == EINVAL) fail("send");
}

/* Whether it was the answer to the newest question. */
static int take(struct slot *slot, uint64_t most) {
  uint8_t bytes[MESSAGE_MAX];
  int length = recv(slot->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (length < HEADER) return -1;
  uint16_t id = bytes[0] << 8 | bytes[1];
  if (slot->sent_us[id] == 0) return 0;
  if (answered_count < most) latencies[answered_count] = now_us() - slot->sent_us[id];
  answered_count++;
  rcodes[bytes[3] & 15]++;
  slot->sent_us[id] = 0;
  return id == slot->id;
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void load(char **args) {
  struct sockaddr_in server = address_of(args[0], atoi(args[1]));
  uint32_t first = ntohl(address_of(args[2], 0).sin_addr.s_addr);
  int clients = atoi(args[3]), count = atoi(args[4]);
  uint64_t rate = atoll(args[5]), length_us = atof(args[6]) * 1e6, most = 1 << 24;
  names_count = atoi(args[7]);
  domain = args[8];
  latencies = malloc(most * sizeof *latencies);
  struct slot *slots = calloc(count, sizeof *slots);
  int epoll = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(first + i % clients)};
    slots[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
    slots[i].sent_us = calloc(IDS, sizeof(uint64_t));
    slots[i].id = i * 7919;
    if (bind(slots[i].fd, (struct sockaddr *)&own, sizeof own) < 0) fail("bind");
    if (connect(slots[i].fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(epoll, EPOLL_CTL_ADD, slots[i].fd, &event);
  }
  uint64_t begun = now_us(), looked = begun;
  if (rate == 0)
    for (int i = 0; i < count; i++) ask(&slots[i]);
  for (uint64_t now = begun; now - begun < length_us; now = now_us()) {
    struct epoll_event events[BATCH];
    if (rate > 0)
      for (uint64_t due = (now - begun) * rate / 1000000; asked_count < due;) ask(&slots[asked_count % count]);
    int ready = epoll_wait(epoll, events, BATCH, 1);
    for (int i = 0; i < ready; i++) {
      struct slot *slot = &slots[events[i].data.u32];
      int came = take(slot, most);
      if (came == 1 && rate == 0) ask(slot);
    }
    if (rate > 0 || now - looked < LOST_US / 10) continue;
    looked = now;
    for (int i = 0; i < count; i++)
      if (slots[i].sent_us[slots[i].id] != 0 && now_us() - slots[i].sent_us[slots[i].id] > LOST_US) {
        slots[i].sent_us[slots[i].id] = 0;
        lost_count++;
        ask(&slots[i]);
      }
  }
  double seconds = (now_us() - begun) / 1e6;
  uint64_t kept = answered_count < most ? answered_count : most;
  qsort(latencies, kept, sizeof *latencies, ascending);
#define PART(share) (kept == 0 ? 0 : latencies[(uint64_t)((kept - 1) * (share))])
  printf("{\"asked\":%lu,\"answered\":%lu,\"lost\":%lu,\"seconds\":%.3f,\"p50\":%u,\"p90\":%u,\"p99\":%u,\"max\":%u,"
         "\"ok\":%lu,\"failed\":%lu,\"noName\":%lu}\n",
         asked_count, answered_count, lost_count, seconds, PART(0.5), PART(0.9), PART(0.99), PART(1.0), rcodes[0],
         rcodes[2], rcodes[3]);
}

int main(int count, char **args) {
  if (count == 4 && strcmp(args[1], "upstream") == 0) upstream(args[2], atoi(args[3]));
  else if (count == 11 && strcmp(args[1], "ask") == 0) load(args + 2);
  else return 64;
  return 0;
}
