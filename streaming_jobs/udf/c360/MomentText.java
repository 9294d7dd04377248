package c360;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/** {@code moment_text(moment)}: a moment in UTC with six digits of a second, {@code 2025-01-01T10:00:00.120000Z}. */
public final class MomentText extends ScalarFunction {
  public @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData eval(
      @DataTypeHint(value = "TIMESTAMP_LTZ(6)", bridgedTo = TimestampData.class) TimestampData moment) {
    return moment == null ? null : StringData.fromBytes(Moments.text(Moments.micros(moment)));
  }
}
