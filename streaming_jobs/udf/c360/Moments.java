package c360;

import java.time.LocalDate;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ProcessTableFunction;

/** Moments as microseconds since 1970. */
final class Moments {
  static final long SECOND = 1_000_000L;
  static final long MINUTE = 60 * SECOND;
  static final long HOUR = 60 * MINUTE;
  static final long DAY = 24 * HOUR;

  private Moments() {}

  static long micros(TimestampData moment) {
    return moment.getMillisecond() * 1000 + moment.getNanoOfMillisecond() / 1000;
  }

  static TimestampData data(long micros) {
    long millis = Math.floorDiv(micros, 1000L);
    return TimestampData.fromEpochMillis(millis, (int) (micros - millis * 1000) * 1000);
  }

  /** The first millisecond of the clock of timers at which the moment has come. */
  static long timer(long micros) {
    return Math.ceilDiv(micros, 1000L);
  }

  /** What the clock of timers says, milliseconds; the smallest number before it has begun. */
  static long watermark(ProcessTableFunction.TimeContext<Long> time) {
    Long now = time.currentWatermark();
    return now == null ? Long.MIN_VALUE : now;
  }

  static byte[] text(long micros) {
    long seconds = Math.floorDiv(micros, SECOND);
    LocalDate day = LocalDate.ofEpochDay(Math.floorDiv(seconds, 86_400L));
    int rest = (int) Math.floorMod(seconds, 86_400L);
    byte[] text = new byte[27];
    put(text, 0, 4, day.getYear());
    text[4] = '-';
    put(text, 5, 2, day.getMonthValue());
    text[7] = '-';
    put(text, 8, 2, day.getDayOfMonth());
    text[10] = 'T';
    put(text, 11, 2, rest / 3600);
    text[13] = ':';
    put(text, 14, 2, rest / 60 % 60);
    text[16] = ':';
    put(text, 17, 2, rest % 60);
    text[19] = '.';
    put(text, 20, 6, (int) Math.floorMod(micros, SECOND));
    text[26] = 'Z';
    return text;
  }

  private static void put(byte[] text, int at, int digits, int number) {
    for (int i = at + digits - 1; i >= at; i--, number /= 10) {
      text[i] = (byte) ('0' + number % 10);
    }
  }
}
