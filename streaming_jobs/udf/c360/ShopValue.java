package c360;

import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Base64;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;

/** Single values of the shop's rows, exact or not at all. */
final class ShopValue {
  /** Far more than an amount has: arithmetic with a number as long as a message would take minutes. */
  private static final int MOST_BYTES = 64;
  private static final BigInteger MOST = BigInteger.TEN.pow(12);

  private ShopValue() {}

  /** The value in the form of its place, null if it is of another type. */
  static Object read(JsonParser parser, JsonToken token, int place) throws IOException {
    switch (place) {
      case ShopChangeReader.QUANTITY:
        return whole(parser, token);
      case ShopChangeReader.CENTS:
        return cents(parser, token);
      case ShopChangeReader.MOMENT:
      case ShopChangeReader.CHANGED:
        return micros(parser, token);
      default:
        if (token == JsonToken.VALUE_STRING) {
          return parser.getText();
        }
        parser.skipChildren();
        return null;
    }
  }

  private static Object whole(JsonParser parser, JsonToken token) throws IOException {
    if (token == JsonToken.VALUE_NUMBER_INT && parser.getNumberType() != JsonParser.NumberType.BIG_INTEGER) {
      return parser.getLongValue();
    }
    parser.skipChildren();
    return null;
  }

  /** A moment is text in UTC; a number would be of a unit that the message does not tell. */
  private static Object micros(JsonParser parser, JsonToken token) throws IOException {
    if (token == JsonToken.VALUE_STRING) {
      long found = Text.utcMicros(parser.getText());
      return found == Text.NO_MOMENT ? null : found;
    }
    parser.skipChildren();
    return null;
  }

  /** An amount as Debezium writes it: the bytes of the unscaled value, with its scale where the column has none, or text. */
  private static Object cents(JsonParser parser, JsonToken token) throws IOException {
    if (token == JsonToken.START_OBJECT) {
      Integer scale = null;
      byte[] bytes = null;
      String name;
      while ((name = parser.nextFieldName()) != null) {
        JsonToken each = parser.nextToken();
        if (name.equals("scale") && each == JsonToken.VALUE_NUMBER_INT) {
          scale = parser.getIntValue();
        } else if (name.equals("value") && each == JsonToken.VALUE_STRING) {
          bytes = decoded(parser.getText());
        } else {
          parser.skipChildren();
        }
      }
      return bytes == null || scale == null ? null : exact(new BigDecimal(new BigInteger(bytes), scale));
    }
    if (token.isNumeric()) {
      try {
        return exact(new BigDecimal(parser.getText()));
      } catch (NumberFormatException error) {
        return null;
      }
    }
    if (token != JsonToken.VALUE_STRING) {
      parser.skipChildren();
      return null;
    }
    byte[] bytes = decoded(parser.getText());
    return bytes == null ? null : exact(new BigDecimal(new BigInteger(bytes), 2));
  }

  private static byte[] decoded(String text) {
    try {
      byte[] bytes = Base64.getDecoder().decode(text);
      return bytes.length == 0 || bytes.length > MOST_BYTES ? null : bytes;
    } catch (IllegalArgumentException error) {
      return null;
    }
  }

  private static Object exact(BigDecimal amount) {
    BigDecimal plain;
    try {
      plain = amount.stripTrailingZeros();
    } catch (ArithmeticException error) {
      // A scale has 32 bits, and this one has not enough for the zeros.
      return null;
    }
    if (plain.scale() > 2 || (long) plain.precision() - plain.scale() > 10) {
      return null;
    }
    BigInteger found = plain.setScale(2).unscaledValue();
    return found.abs().compareTo(MOST) < 0 ? found.longValue() : null;
  }
}
