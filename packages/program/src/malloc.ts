/**
 * malloc for a process whose arrays of megabytes come and go in several threads: each is a mapping of its
 * own, which goes back to the kernel when it is freed, and no thread has a heap of its own that nothing
 * leaves. This does the same as MALLOC_MMAP_THRESHOLD_ and MALLOC_ARENA_MAX in the environment, for a process
 * that was started without them: mallopt(3).
 */

// Fixed by glibc.
const M_MMAP_THRESHOLD = -3;
const M_ARENA_MAX = -8;
/** Our choice, as in the units. */
const MAPPED_MIN_BYTES = 131_072;
const ARENAS_MAX = 2;

/** Call it before threads are started. Does nothing without glibc. */
export async function mapLargeBlocks(): Promise<void> {
  try {
    const { default: koffi } = await import('koffi');
    const mallopt = koffi.load('libc.so.6').func('int mallopt(int, int)');
    mallopt(M_MMAP_THRESHOLD, MAPPED_MIN_BYTES);
    mallopt(M_ARENA_MAX, ARENAS_MAX);
  } catch {
    return; // without it, it only uses more memory
  }
}
