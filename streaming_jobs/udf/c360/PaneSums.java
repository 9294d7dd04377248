package c360;

import java.nio.ByteBuffer;

/**
 * What happened in a pane (five minutes): orders, cents, cancellations, and for each of the 12 windows (hours) that it is part of, by
 * start, the customers who were not yet counted there. Written as whole numbers of eight bytes.
 */
final class PaneSums {
  static final long PANE = 5 * Moments.MINUTE;
  static final int WINDOWS = 12;
  static final int ORDERS = 0;
  static final int CENTS = 1;
  static final int CANCELLED = 2;
  static final int FRESH = 3;
  private static final int SIZE = FRESH + WINDOWS;

  private PaneSums() {}

  /** Of no pane yet if there are no bytes. */
  static long[] read(byte[] bytes, int size) {
    long[] found = new long[size];
    if (bytes != null) {
      ByteBuffer.wrap(bytes).asLongBuffer().get(found);
    }
    return found;
  }

  static long[] read(byte[] bytes) {
    return read(bytes, SIZE);
  }

  static byte[] write(long[] sums) {
    byte[] bytes = new byte[sums.length * Long.BYTES];
    ByteBuffer.wrap(bytes).asLongBuffer().put(sums);
    return bytes;
  }
}
