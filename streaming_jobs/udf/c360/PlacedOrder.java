package c360;

import java.util.Arrays;

/** An order of a customer, by moment and then id, and which rules it meets. The id lies somewhere in {@code bytes}. */
final class PlacedOrder implements Comparable<PlacedOrder> {
  final long happened;
  final long cents;
  final byte[] bytes;
  final int from;
  final int length;
  byte rules;

  PlacedOrder(long happened, long cents, byte[] bytes, int from, int length, byte rules) {
    this.happened = happened;
    this.cents = cents;
    this.bytes = bytes;
    this.from = from;
    this.length = length;
    this.rules = rules;
  }

  /** Ids by their bytes, as unsigned numbers: the order that Spark and Python have for texts too. */
  @Override
  public int compareTo(PlacedOrder other) {
    return happened != other.happened
        ? Long.compare(happened, other.happened)
        : Arrays.compareUnsigned(
            bytes, from, from + length, other.bytes, other.from, other.from + other.length);
  }
}
