// SPDX-License-Identifier: Apache-2.0
// The bare AF_XDP loop that `bench/run` holds txpath against: one frame, copied into the ring again
// and again, a doorbell every BATCH frames. usage: xdp_loop DEV FRAME_BYTES SECONDS BATCH
// Prints frames a second. DEV's own address is the destination: the peer drops.
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

enum { kFrames = 1024, kChunk = 4096 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void* ring(int fd, size_t len, off_t at) {
  void* p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, at);
  if (p == MAP_FAILED) exit(1);
  return p;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const unsigned len = (unsigned)atoi(argv[2]);
  const double seconds = atof(argv[3]);
  const unsigned batch = (unsigned)atoi(argv[4]);
  const int fd = socket(AF_XDP, SOCK_RAW, 0);
  uint8_t* umem = mmap(NULL, kFrames * kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct xdp_umem_reg reg = {.addr = (uint64_t)(uintptr_t)umem, .len = kFrames * kChunk, .chunk_size = kChunk};
  const int size = kFrames, fill = 64;
  if (setsockopt(fd, 283, XDP_UMEM_REG, &reg, sizeof reg) || setsockopt(fd, 283, XDP_UMEM_FILL_RING, &fill, sizeof fill) ||
      setsockopt(fd, 283, XDP_UMEM_COMPLETION_RING, &size, sizeof size) || setsockopt(fd, 283, XDP_TX_RING, &size, sizeof size)) {
    perror("xdp_loop");
    return 1;
  }
  struct xdp_mmap_offsets at;
  socklen_t at_len = sizeof at;
  if (getsockopt(fd, 283, XDP_MMAP_OFFSETS, &at, &at_len)) return 1;
  uint8_t* tx = ring(fd, at.tx.desc + kFrames * sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
  uint8_t* done = ring(fd, at.cr.desc + kFrames * sizeof(uint64_t), (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
  struct sockaddr_xdp sa = {.sxdp_family = AF_XDP, .sxdp_ifindex = if_nametoindex(argv[1]),
                            .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
  for (int i = 0; bind(fd, (struct sockaddr*)&sa, sizeof sa) != 0; ++i)
    if (errno != EBUSY || i > 100 || nanosleep(&(struct timespec){0, 10000000}, NULL)) return perror("bind"), 1;
  uint32_t* tx_producer = (uint32_t*)(void*)(tx + at.tx.producer);
  uint32_t* tx_consumer = (uint32_t*)(void*)(tx + at.tx.consumer);
  struct xdp_desc* slots = (struct xdp_desc*)(void*)(tx + at.tx.desc);
  uint32_t* done_producer = (uint32_t*)(void*)(done + at.cr.producer);
  uint32_t* done_consumer = (uint32_t*)(void*)(done + at.cr.consumer);
  uint8_t frame[kChunk];
  memset(frame, 0x55, sizeof frame);
  memcpy(frame + 12, "\x08\x00", 2);
  uint32_t produced = 0;
  unsigned long sent = 0;
  const double start = now();
  while (now() - start < seconds) {
    for (unsigned b = 0; b < batch; ++b) {
      const uint64_t place = (uint64_t)(produced % kFrames) * kChunk;
      memcpy(umem + place, frame, len);
      slots[produced % kFrames] = (struct xdp_desc){.addr = place, .len = len};
      __atomic_store_n(tx_producer, ++produced, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(tx_consumer, __ATOMIC_ACQUIRE) != produced) sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
    __atomic_store_n(done_consumer, __atomic_load_n(done_producer, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    sent += batch;
  }
  printf("%.0f\n", (double)sent / (now() - start));
  return 0;
}
