package c360;

import java.math.BigInteger;

/** What the rules of alerts ask for about all earlier orders of a customer, in whole cents and without rounding. */
final class EarlierOrders {
  static final int SPIKE = 5;
  static final int LOOKED_AT = SPIKE - 1;
  static final int COMPARABLE = 5;
  private static final long LARGEST = Long.MAX_VALUE / 25;

  long count;
  long total;
  // The sum of the squares has 128 bits: ten orders of the greatest amount are too much for 64.
  long squaresHigh;
  long squaresLow;

  /** When the last ones were placed, the newest first; of what is not there the smallest number. */
  final long[] moments = {Long.MIN_VALUE, Long.MIN_VALUE, Long.MIN_VALUE, Long.MIN_VALUE};

  void add(PlacedOrder order) {
    long low = order.cents * order.cents;
    squaresLow += low;
    squaresHigh += Math.multiplyHigh(order.cents, order.cents) + (Long.compareUnsigned(squaresLow, low) < 0 ? 1 : 0);
    total += order.cents;
    count++;
    System.arraycopy(moments, 0, moments, 1, LOOKED_AT - 1);
    moments[0] = order.happened;
  }

  /** Whether the newest of them, or the one that is so many before it, was placed at most that long before a moment. */
  boolean within(int before, long happened, long micros) {
    return count > before && happened - moments[before] <= micros;
  }

  /** 0, or how many standard deviations above the mean the amount is more than: 3 or 5. */
  int deviationsAbove(long cents) {
    if (count < COMPARABLE) {
      return 0;
    }
    if (!isSmall(cents)) {
      return exactly(cents);
    }
    long above = count * cents - total;
    if (above <= 0) {
      return 0;
    }
    long spread = count * squaresLow - total * total;
    if (spread > LARGEST) {
      return exactly(cents);
    }
    // Its square is too much for 64 bits only where it is more than 25 times the spread.
    if (above > 3_000_000_000L || above * above > 25 * spread) {
      return 5;
    }
    return above * above > 9 * spread ? 3 : 0;
  }

  /** Whether {@code count * cents}, {@code count * squares} and {@code total * total} have at most 63 bits. */
  private boolean isSmall(long cents) {
    return squaresHigh == 0
        && squaresLow >= 0
        && count < 1L << 31
        && Math.abs(cents) < 1L << 31
        && Math.multiplyHigh(count, squaresLow) == 0
        && count * squaresLow >= 0;
  }

  private int exactly(long cents) {
    BigInteger above = big(count).multiply(big(cents)).subtract(big(total));
    if (above.signum() <= 0) {
      return 0;
    }
    BigInteger square = above.multiply(above);
    BigInteger spread = spread();
    if (square.compareTo(spread.multiply(big(25))) > 0) {
      return 5;
    }
    return square.compareTo(spread.multiply(big(9))) > 0 ? 3 : 0;
  }

  /** Mean and three standard deviations in whole cents, rounded down: an amount is above it if it is above that. */
  long bound() {
    BigInteger[] parts =
        spread().multiply(big(9)).sqrt().add(big(total)).divideAndRemainder(big(count));
    return parts[0].longValueExact() - (parts[1].signum() < 0 ? 1 : 0);
  }

  /** The square of the count times the variance. */
  private BigInteger spread() {
    BigInteger low = big(squaresLow >>> 1).shiftLeft(1).add(big(squaresLow & 1));
    BigInteger squares = big(squaresHigh).shiftLeft(64).add(low);
    return big(count).multiply(squares).subtract(big(total).multiply(big(total)));
  }

  private static BigInteger big(long number) {
    return BigInteger.valueOf(number);
  }
}
