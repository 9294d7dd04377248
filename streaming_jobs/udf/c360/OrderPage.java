package c360;

import java.nio.ByteBuffer;
import java.util.List;

/** Orders of a customer that follow each other, as bytes: what is to be known of all before them, and each of them. */
final class OrderPage {
  private static final int HEAD = 4 + (4 + EarlierOrders.LOOKED_AT) * 8;
  private static final int EACH = 8 + 8 + 1 + 4;

  private OrderPage() {}

  static byte[] write(EarlierOrders earlier, List<PlacedOrder> orders) {
    int size = HEAD;
    for (PlacedOrder order : orders) {
      size += EACH + order.length;
    }
    ByteBuffer page = ByteBuffer.allocate(size).putInt(orders.size());
    page.putLong(earlier.count).putLong(earlier.total).putLong(earlier.squaresHigh).putLong(earlier.squaresLow);
    for (long moment : earlier.moments) {
      page.putLong(moment);
    }
    for (PlacedOrder order : orders) {
      write(page, order);
    }
    return page.array();
  }

  private static ByteBuffer write(ByteBuffer page, PlacedOrder order) {
    page.putLong(order.happened).putLong(order.cents).put(order.rules).putInt(order.length);
    return page.put(order.bytes, order.from, order.length);
  }

  static byte[] alone(PlacedOrder order) {
    return write(ByteBuffer.allocate(EACH + order.length), order).array();
  }

  static PlacedOrder alone(byte[] order) {
    return read(ByteBuffer.wrap(order));
  }

  static EarlierOrders earlier(byte[] page) {
    ByteBuffer head = ByteBuffer.wrap(page, 4, HEAD - 4);
    EarlierOrders earlier = new EarlierOrders();
    earlier.count = head.getLong();
    earlier.total = head.getLong();
    earlier.squaresHigh = head.getLong();
    earlier.squaresLow = head.getLong();
    for (int i = 0; i < EarlierOrders.LOOKED_AT; i++) {
      earlier.moments[i] = head.getLong();
    }
    return earlier;
  }

  /** The first order of a page; no page is empty. */
  static PlacedOrder first(byte[] page) {
    return read(ByteBuffer.wrap(page).position(HEAD));
  }

  static void read(byte[] page, List<PlacedOrder> into) {
    ByteBuffer rest = ByteBuffer.wrap(page);
    int orders = rest.getInt();
    rest.position(HEAD);
    for (int i = 0; i < orders; i++) {
      into.add(read(rest));
    }
  }

  private static PlacedOrder read(ByteBuffer page) {
    long happened = page.getLong();
    long cents = page.getLong();
    byte rules = page.get();
    int length = page.getInt();
    PlacedOrder order = new PlacedOrder(happened, cents, page.array(), page.position(), length, rules);
    page.position(page.position() + length);
    return order;
  }
}
