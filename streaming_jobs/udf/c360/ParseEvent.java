package c360;

import java.util.Optional;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.utils.DataTypeUtils;

/**
 * {@code parse_event(value, arrived, contract)}: one message as one row, whatever the message.
 *
 * <p>The row has the contract's fields, then {@code event_time} (milliseconds), {@code reason} and {@code field_name} of a
 * refusal (null if the contract allows the event), {@code fingerprint}, a hash of all that is not encrypted, and
 * {@code id_high} and {@code id_low}, the two halves of the id. Of a refused message only the event id is kept. Never throws
 * for what is in a message.
 */
public final class ParseEvent extends ScalarFunction {
  private transient EventReader reader;
  // The planner writes one call for each field that a statement reads: all but the first find the row here.
  private transient byte[] lastValue;
  private transient RowData lastRow;

  @Override
  public void open(FunctionContext context) {
    reader = null;
    lastValue = null;
    lastRow = null;
  }

  public RowData eval(byte[] value, TimestampData arrived, StringData contract) {
    if (value != null && value == lastValue) {
      return lastRow;
    }
    if (reader == null) {
      reader = new EventReader(EventContract.parse(contract.toString()));
    }
    GenericRowData row = reader.read(value, arrived.getMillisecond());
    lastValue = value;
    lastRow = row;
    return row;
  }

  @Override
  public TypeInference getTypeInference(DataTypeFactory types) {
    return TypeInference.newBuilder()
        .inputTypeStrategy(
            InputTypeStrategies.sequence(
                InputTypeStrategies.explicit(DataTypes.BYTES()),
                InputTypeStrategies.explicit(DataTypes.TIMESTAMP_LTZ(3).bridgedTo(TimestampData.class)),
                InputTypeStrategies.explicit(DataTypes.STRING().bridgedTo(StringData.class))))
        .outputTypeStrategy(call -> call.getArgumentValue(2, String.class).map(ParseEvent::rowType))
        .build();
  }

  private static DataType rowType(String contract) {
    return DataTypeUtils.toInternalDataType(EventContract.parse(contract).rowType());
  }
}
