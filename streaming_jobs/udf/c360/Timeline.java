package c360;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.dataview.MapView;

/**
 * Entries sorted by moment in the state of a key, for any number of them: what is beside a moment is found in a few reads, although
 * state itself can only be asked for one name at a time.
 *
 * <p>A B+ tree (Bayer and McCreight 1972, Comer 1979) whose root is a value of the state beside: a few entries need no read at all,
 * a thousand one. What is empty goes, and nothing is merged. An entry of the same moment and {@code about} is added to; one whose
 * {@code count} and {@code live} become 0 goes.
 */
final class Timeline {
  static final long NONE = Long.MAX_VALUE;

  /** {@code count}, {@code live} and {@code units} are sums. */
  record Entry(long moment, long about, long count, long live, long units) {}

  private static final int MOST = 32;
  private static final int LEAF = 0;
  // One byte says how far it is to the leaves. A leaf has entries; what is above it the number of each page below, behind the least
  // moment and about that may be in it: the first page has whatever is before the second, and nobody asks for its least.
  private static final int HEAD = 1;
  private static final int ENTRY = 5 * Long.BYTES;
  private static final int CHILD = 3 * Long.BYTES;

  private final MapView<Long, byte[]> state;
  private final Map<Long, byte[]> seen = new HashMap<>();
  private byte[] root;
  private long pages;

  /** Of a {@code root} and a number of {@code pages} that were kept, or null and 0. */
  Timeline(MapView<Long, byte[]> state, byte[] root, long pages) {
    this.state = state;
    this.root = root == null ? new byte[HEAD] : root;
    this.pages = pages;
  }

  /** To be kept. */
  byte[] root() {
    return root;
  }

  /** How many pages there ever were; to be kept. */
  long pages() {
    return pages;
  }

  /** The entry as it is after that. */
  Entry add(long moment, long about, long count, long live, long units) throws Exception {
    Entry known = ceiling(root, moment, about);
    Entry entry = new Entry(moment, about, count, live, units);
    if (known != null && known.moment == moment && known.about == about) {
      entry = new Entry(moment, about, known.count + count, known.live + live, known.units + units);
    }
    put(entry);
    return entry;
  }

  /** All entries of a moment. */
  List<Entry> at(long moment) throws Exception {
    List<Entry> found = new ArrayList<>();
    Entry entry = ceiling(root, moment, Long.MIN_VALUE);
    while (entry != null && entry.moment == moment) {
      found.add(entry);
      entry = entry.about == Long.MAX_VALUE ? null : ceiling(root, moment, entry.about + 1);
    }
    return found;
  }

  void remove(long moment) throws Exception {
    for (Entry entry : at(moment)) {
      put(new Entry(moment, entry.about, 0, 0, 0));
    }
  }

  /** The first moment of an entry from that one on, NONE if there is none. */
  long next(long moment) throws Exception {
    Entry found = ceiling(root, moment, Long.MIN_VALUE);
    return found == null ? NONE : found.moment;
  }

  /** The last moment of an entry up to that one, Long.MIN_VALUE if there is none. */
  long previous(long moment) throws Exception {
    return floor(root, moment);
  }

  private Entry ceiling(byte[] page, long moment, long about) throws Exception {
    ByteBuffer found = ByteBuffer.wrap(page);
    if (page[0] == LEAF) {
      int at = place(found, ENTRY, moment, about);
      return at < page.length ? entry(found, at) : null;
    }
    for (int at = child(found, moment, about); at < page.length; at += CHILD) {
      Entry entry = ceiling(page(found, at), moment, about);
      if (entry != null) {
        return entry;
      }
    }
    return null;
  }

  private long floor(byte[] page, long moment) throws Exception {
    ByteBuffer found = ByteBuffer.wrap(page);
    if (page[0] == LEAF) {
      int after = place(found, ENTRY, moment + 1, Long.MIN_VALUE);
      return after > HEAD ? found.getLong(after - ENTRY) : Long.MIN_VALUE;
    }
    for (int at = child(found, moment, Long.MAX_VALUE); at >= HEAD; at -= CHILD) {
      long last = floor(page(found, at), moment);
      if (last != Long.MIN_VALUE) {
        return last;
      }
    }
    return Long.MIN_VALUE;
  }

  private void put(Entry entry) throws Exception {
    List<byte[]> parts = put(root, entry);
    if (parts.size() == 2) {
      int height = parts.get(0)[0] + 1;
      ByteBuffer above = ByteBuffer.allocate(HEAD + 2 * CHILD).put((byte) height);
      for (byte[] part : parts) {
        ByteBuffer found = ByteBuffer.wrap(part);
        above.putLong(found.getLong(HEAD)).putLong(found.getLong(HEAD + 8)).putLong(store(part));
      }
      root = above.array();
    } else {
      root = parts.isEmpty() ? new byte[HEAD] : parts.get(0);
      while (root[0] != LEAF && root.length == HEAD + CHILD) {
        ByteBuffer only = ByteBuffer.wrap(root);
        root = page(only, HEAD);
        drop(only, HEAD);
      }
    }
  }

  /** What the page becomes: nothing when it is empty, two when it had too much. */
  private List<byte[]> put(byte[] page, Entry entry) throws Exception {
    ByteBuffer found = ByteBuffer.wrap(page);
    if (page[0] == LEAF) {
      int at = place(found, ENTRY, entry.moment, entry.about);
      boolean known = at < page.length && found.getLong(at) == entry.moment && found.getLong(at + 8) == entry.about;
      boolean gone = entry.count == 0 && entry.live == 0;
      ByteBuffer with = ByteBuffer.allocate(gone ? 0 : ENTRY);
      if (!gone) {
        with.putLong(entry.moment).putLong(entry.about).putLong(entry.count).putLong(entry.live).putLong(entry.units);
      }
      return split(replaced(page, at, known ? ENTRY : 0, with.array()), ENTRY, at);
    }
    int at = child(found, entry.moment, entry.about);
    byte[] old = page(found, at);
    List<byte[]> parts = put(old, entry);
    ByteBuffer with = ByteBuffer.allocate(parts.size() * CHILD);
    if (parts.isEmpty()) {
      drop(found, at);
    } else {
      long name = found.getLong(at + 16);
      if (!Arrays.equals(old, parts.get(0))) {
        store(name, parts.get(0));
      }
      with.putLong(found.getLong(at)).putLong(found.getLong(at + 8)).putLong(name);
      if (parts.size() == 2) {
        ByteBuffer right = ByteBuffer.wrap(parts.get(1));
        with.putLong(right.getLong(HEAD)).putLong(right.getLong(HEAD + 8)).putLong(store(parts.get(1)));
      }
    }
    return split(replaced(page, at, CHILD, with.array()), CHILD, at + CHILD);
  }

  /** Most things happen after all others: then the page stays full, and the next one begins with what came. */
  private static List<byte[]> split(byte[] page, int size, int changed) {
    int count = (page.length - HEAD) / size;
    if (count <= MOST) {
      return count == 0 ? List.of() : List.of(page);
    }
    int at = changed == page.length - size ? changed : HEAD + count / 2 * size;
    byte[] left = new byte[at];
    System.arraycopy(page, 0, left, 0, at);
    byte[] right = new byte[HEAD + page.length - at];
    right[0] = page[0];
    System.arraycopy(page, at, right, HEAD, page.length - at);
    return List.of(left, right);
  }

  private static byte[] replaced(byte[] page, int at, int length, byte[] with) {
    int rest = at + length;
    ByteBuffer next = ByteBuffer.allocate(page.length - length + with.length);
    return next.put(page, 0, at).put(with).put(page, rest, page.length - rest).array();
  }

  private byte[] page(ByteBuffer above, int at) throws Exception {
    long name = above.getLong(at + 16);
    byte[] found = seen.get(name);
    if (found == null) {
      found = state.get(name);
      seen.put(name, found);
    }
    return found;
  }

  private long store(byte[] page) throws Exception {
    store(pages, page);
    return pages++;
  }

  private void store(long name, byte[] page) throws Exception {
    seen.put(name, page);
    state.put(name, page);
  }

  private void drop(ByteBuffer above, int at) throws Exception {
    seen.remove(above.getLong(at + 16));
    state.remove(above.getLong(at + 16));
  }

  private static Entry entry(ByteBuffer leaf, int at) {
    return new Entry(
        leaf.getLong(at), leaf.getLong(at + 8), leaf.getLong(at + 16), leaf.getLong(at + 24), leaf.getLong(at + 32));
  }

  /** Where the page stands that has this place of time, or would have it. */
  private static int child(ByteBuffer page, long moment, long about) {
    boolean last = about == Long.MAX_VALUE;
    int after = last ? place(page, CHILD, moment + 1, Long.MIN_VALUE) : place(page, CHILD, moment, about + 1);
    return Math.max(HEAD, after - CHILD);
  }

  /** Where the first of the sorted things of a page that is not before this one stands. */
  private static int place(ByteBuffer page, int size, long moment, long about) {
    int low = 0;
    int high = (page.limit() - HEAD) / size;
    while (low < high) {
      int middle = (low + high) >>> 1;
      int at = HEAD + middle * size;
      long found = page.getLong(at);
      if (found < moment || found == moment && page.getLong(at + 8) < about) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return HEAD + low * size;
  }
}
