package c360;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.LocalDate;

/** Texts on the wire: encodings, identifiers, moments, hashes. */
final class Text {
  static final long NO_MOMENT = Long.MIN_VALUE;

  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final long HIGH_BITS = 0x8080808080808080L;
  private static final long PRIME = 0x9E3779B97F4A7C15L;

  private Text() {}

  static boolean isUtf8(byte[] bytes) {
    int i = 0;
    for (; i + 8 <= bytes.length; i += 8) {
      if (((long) LONGS.get(bytes, i) & HIGH_BITS) != 0) {
        return decodes(bytes);
      }
    }
    for (; i < bytes.length; i++) {
      if (bytes[i] < 0) {
        return decodes(bytes);
      }
    }
    return true;
  }

  private static boolean decodes(byte[] bytes) {
    try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
      return true;
    } catch (CharacterCodingException error) {
      return false;
    }
  }

  /** True where Jackson would find a byte order mark, UTF-16 or UTF-32. */
  static boolean looksLikeAnotherEncoding(byte[] bytes) {
    if (bytes[0] < 0) {
      return true;
    }
    for (int i = 0; i < Math.min(4, bytes.length); i++) {
      if (bytes[i] == 0) {
        return true;
      }
    }
    return false;
  }

  static boolean hasLoneSurrogate(String text) {
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (Character.isSurrogate(c)) {
        if (Character.isLowSurrogate(c) || ++i == text.length() || !Character.isLowSurrogate(text.charAt(i))) {
          return true;
        }
      }
    }
    return false;
  }

  static boolean isUuid(String text) {
    for (int i = 0; i < 36; i++) {
      char c = text.charAt(i);
      boolean dash = i == 8 || i == 13 || i == 18 || i == 23;
      if (dash ? c != '-' : !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f')) {
        return false;
      }
    }
    return true;
  }

  /** The number that hexadecimal digits make; dashes between them are passed over. */
  static long hexadecimal(byte[] digits, int from, int to) {
    long found = 0;
    for (int i = from; i < to; i++) {
      byte c = digits[i];
      if (c != '-') {
        found = found << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
      }
    }
    return found;
  }

  /** Microseconds since 1970 of an RFC 3339 moment in UTC, a seventh digit rounded; NO_MOMENT for anything else. */
  static long utcMicros(String t) {
    int n = t.length();
    if (n < 20 || t.charAt(4) != '-' || t.charAt(7) != '-' || t.charAt(13) != ':' || t.charAt(16) != ':') {
      return NO_MOMENT;
    }
    char between = t.charAt(10);
    int year = number(t, 0, 4), month = number(t, 5, 7), day = number(t, 8, 10);
    int hour = number(t, 11, 13), minute = number(t, 14, 16), second = number(t, 17, 19);
    if (between != 'T' && between != 't' && between != ' '
        || year < 1 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59
        || second < 0 || second > 59) {
      return NO_MOMENT;
    }
    int i = 19;
    long micros = 0;
    if (t.charAt(i) == '.') {
      int start = ++i;
      long scale = 100_000;
      for (; i < n && t.charAt(i) >= '0' && t.charAt(i) <= '9'; i++) {
        int digit = t.charAt(i) - '0';
        if (scale > 0) {
          micros += digit * scale;
          scale /= 10;
        } else if (i - start == 6 && digit >= 5) {
          micros++;
        }
      }
      if (i == start) {
        return NO_MOMENT;
      }
    }
    if (!isUtc(t, i)) {
      return NO_MOMENT;
    }
    try {
      long days = LocalDate.of(year, month, day).toEpochDay();
      return (days * 86_400 + hour * 3600L + minute * 60L + second) * 1_000_000 + micros;
    } catch (DateTimeException error) {
      return NO_MOMENT;
    }
  }

  private static boolean isUtc(String t, int i) {
    int left = t.length() - i;
    if (left == 1) {
      return t.charAt(i) == 'Z' || t.charAt(i) == 'z';
    }
    if (left != 5 && left != 6 || t.charAt(i) != '+' && t.charAt(i) != '-') {
      return false;
    }
    return left == 5 ? t.startsWith("0000", i + 1) : t.startsWith("00:00", i + 1);
  }

  private static int number(String t, int from, int to) {
    int found = 0;
    for (int i = from; i < to; i++) {
      int digit = t.charAt(i) - '0';
      if (digit < 0 || digit > 9) {
        return -1;
      }
      found = found * 10 + digit;
    }
    return found;
  }

  static long hash(String text) {
    long h = text.length();
    for (int i = 0; i < text.length(); i++) {
      h = (h ^ text.charAt(i)) * PRIME;
      h ^= h >>> 29;
    }
    return mix(h);
  }

  static long hash(byte[] bytes, int from, int length) {
    long h = length;
    for (int i = from; i < from + length; i++) {
      h = (h ^ bytes[i]) * PRIME;
      h ^= h >>> 29;
    }
    return mix(h);
  }

  static long mix(long h) {
    h = (h ^ h >>> 30) * 0xBF58476D1CE4E5B9L;
    h = (h ^ h >>> 27) * 0x94D049BB133111EBL;
    return h ^ h >>> 31;
  }
}
