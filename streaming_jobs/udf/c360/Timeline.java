package c360;

import java.nio.ByteBuffer;
import org.apache.flink.table.api.dataview.MapView;

/**
 * Entries sorted by moment in the state of a key, for any number of them: what is beside a moment is found in a few reads, although
 * state itself can only be asked for one name at a time.
 *
 * <p>A tree of bits lies over leaves of an eighth of a second: a node has one bit for each of 64 parts of its time that holds
 * something. An entry of the same moment and {@code about} is added to; one whose {@code count} and {@code live} become 0 goes.
 */
final class Timeline {
  static final long NONE = Long.MAX_VALUE;

  /** {@code count}, {@code live} and {@code units} are sums. */
  record Entry(long moment, long about, long count, long live, long units) {}

  private static final int LEAF_BITS = 17;
  private static final int FAN_BITS = 6;
  private static final int ROOT = 7;
  private static final int LEVEL_BITS = 3;
  private static final int BYTES = 5 * Long.BYTES;
  // Above all moments of years with four digits, so that none is below 0.
  private static final long SHIFT = 1L << 58;

  private final MapView<Long, byte[]> state;

  Timeline(MapView<Long, byte[]> state) {
    this.state = state;
  }

  /** The entry as it is after that. */
  Entry add(long moment, long about, long count, long live, long units) throws Exception {
    long key = key(moment, 0);
    byte[] leaf = state.get(key);
    ByteBuffer old = ByteBuffer.wrap(leaf == null ? new byte[0] : leaf);
    int at = 0;
    while (at < old.limit() && before(old, at, moment, about)) {
      at += BYTES;
    }
    boolean known = at < old.limit() && old.getLong(at) == moment && old.getLong(at + 8) == about;
    Entry entry =
        known
            ? new Entry(
                moment, about, old.getLong(at + 16) + count, old.getLong(at + 24) + live, old.getLong(at + 32) + units)
            : new Entry(moment, about, count, live, units);
    boolean gone = entry.count == 0 && entry.live == 0;
    int rest = at + (known ? BYTES : 0);
    ByteBuffer next = ByteBuffer.allocate(at + (gone ? 0 : BYTES) + old.limit() - rest);
    next.put(old.array(), 0, at);
    if (!gone) {
      next.putLong(moment).putLong(about).putLong(entry.count).putLong(entry.live).putLong(entry.units);
    }
    next.put(old.array(), rest, old.limit() - rest);
    store(moment, leaf, next.array());
    return entry;
  }

  /** All entries of a moment. */
  Entry[] at(long moment) throws Exception {
    byte[] leaf = state.get(key(moment, 0));
    if (leaf == null) {
      return new Entry[0];
    }
    ByteBuffer found = ByteBuffer.wrap(leaf);
    int from = place(found, moment);
    Entry[] entries = new Entry[(place(found, moment + 1) - from) / BYTES];
    for (int i = 0; i < entries.length; i++) {
      int at = from + i * BYTES;
      entries[i] =
          new Entry(
              moment, found.getLong(at + 8), found.getLong(at + 16), found.getLong(at + 24), found.getLong(at + 32));
    }
    return entries;
  }

  void remove(long moment) throws Exception {
    byte[] leaf = state.get(key(moment, 0));
    if (leaf != null) {
      ByteBuffer found = ByteBuffer.wrap(leaf);
      int from = place(found, moment);
      int to = place(found, moment + 1);
      ByteBuffer next = ByteBuffer.allocate(leaf.length - to + from);
      store(moment, leaf, next.put(leaf, 0, from).put(leaf, to, leaf.length - to).array());
    }
  }

  /** The first moment of an entry from that one on, NONE if there is none. */
  long next(long moment) throws Exception {
    byte[] leaf = state.get(key(moment, 0));
    if (leaf != null) {
      ByteBuffer found = ByteBuffer.wrap(leaf);
      int at = place(found, moment);
      if (at < leaf.length) {
        return found.getLong(at);
      }
    }
    for (int level = 1; level <= ROOT; level++) {
      long part = (moment + SHIFT) >>> shift(level - 1);
      int bit = (int) (part & 63);
      long later = node(key(moment, level)) & (bit == 63 ? 0 : -1L << bit + 1);
      if (later != 0) {
        long found = (part & ~63L) + Long.numberOfTrailingZeros(later);
        for (int down = level - 1; down > 0; down--) {
          found = (found << FAN_BITS) + Long.numberOfTrailingZeros(node(name(found, down)));
        }
        return ByteBuffer.wrap(state.get(name(found, 0))).getLong(0);
      }
    }
    return NONE;
  }

  /** The last moment of an entry up to that one, Long.MIN_VALUE if there is none. */
  long previous(long moment) throws Exception {
    byte[] leaf = state.get(key(moment, 0));
    if (leaf != null) {
      ByteBuffer found = ByteBuffer.wrap(leaf);
      int at = place(found, moment + 1);
      if (at > 0) {
        return found.getLong(at - BYTES);
      }
    }
    for (int level = 1; level <= ROOT; level++) {
      long part = (moment + SHIFT) >>> shift(level - 1);
      int bit = (int) (part & 63);
      long earlier = node(key(moment, level)) & ((1L << bit) - 1);
      if (earlier != 0) {
        long found = (part & ~63L) + 63 - Long.numberOfLeadingZeros(earlier);
        for (int down = level - 1; down > 0; down--) {
          found = (found << FAN_BITS) + 63 - Long.numberOfLeadingZeros(node(name(found, down)));
        }
        ByteBuffer last = ByteBuffer.wrap(state.get(name(found, 0)));
        return last.getLong(last.limit() - BYTES);
      }
    }
    return Long.MIN_VALUE;
  }

  private void store(long moment, byte[] old, byte[] leaf) throws Exception {
    if (leaf.length > 0) {
      state.put(key(moment, 0), leaf);
      for (int level = 1; level <= ROOT && old == null; level++) {
        old = mark(moment, level, true);
      }
    } else if (old != null) {
      state.remove(key(moment, 0));
      byte[] left = null;
      for (int level = 1; level <= ROOT && left == null; level++) {
        left = mark(moment, level, false);
      }
    }
  }

  /** What makes going further up needless: the node before a bit was set, or after it was cleared; null if it had none. */
  private byte[] mark(long moment, int level, boolean set) throws Exception {
    long key = key(moment, level);
    byte[] old = state.get(key);
    long bit = 1L << ((moment + SHIFT) >>> shift(level - 1) & 63);
    long bits = old == null ? 0 : ByteBuffer.wrap(old).getLong();
    bits = set ? bits | bit : bits & ~bit;
    if (bits == 0) {
      state.remove(key);
      return null;
    }
    byte[] next = ByteBuffer.allocate(Long.BYTES).putLong(bits).array();
    state.put(key, next);
    return set ? old : next;
  }

  private long node(long key) throws Exception {
    byte[] bits = state.get(key);
    return bits == null ? 0 : ByteBuffer.wrap(bits).getLong();
  }

  private static boolean before(ByteBuffer leaf, int at, long moment, long about) {
    long found = leaf.getLong(at);
    return found < moment || found == moment && leaf.getLong(at + 8) < about;
  }

  /** Where the first entry from a moment on stands. */
  private static int place(ByteBuffer leaf, long moment) {
    int low = 0;
    int high = leaf.limit() / BYTES;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (leaf.getLong(middle * BYTES) < moment) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low * BYTES;
  }

  private static int shift(int level) {
    return LEAF_BITS + FAN_BITS * level;
  }

  private static long key(long moment, int level) {
    return name((moment + SHIFT) >>> shift(level), level);
  }

  private static long name(long part, int level) {
    return part << LEVEL_BITS | level;
  }
}
