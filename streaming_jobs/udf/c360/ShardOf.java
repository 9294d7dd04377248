package c360;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;

/** {@code shard_of(text)}: one of 64 parts that ids are spread over, the same one each time. */
public final class ShardOf extends ScalarFunction {
  private static final int SHARDS = 64;

  public int eval(@DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData text) {
    int hash = 0;
    for (byte each : text.toBytes()) {
      hash = 31 * hash + each;
    }
    // Ids that count up differ in their last bits alone, and so would their hashes.
    hash = (hash ^ hash >>> 16) * 0x85ebca6b;
    return (hash ^ hash >>> 13) & SHARDS - 1;
  }
}
