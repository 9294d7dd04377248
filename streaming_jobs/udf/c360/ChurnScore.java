package c360;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * {@code churn_score(orders, spend, last_order_at, effective_at, model)}: the probability that a model of churn gives a row of
 * features. The model is the document of {@code c360/models/churn.py}, which also says what its inputs are.
 */
public final class ChurnScore extends ScalarFunction {
  private transient StringData read;
  private transient double[] mean;
  private transient double[] scale;
  private transient double[] coefficients;
  private transient double intercept;

  public @DataTypeHint("DOUBLE NOT NULL") double eval(
      @DataTypeHint("BIGINT") Long orders,
      @DataTypeHint(value = "DECIMAL(18, 2)", bridgedTo = DecimalData.class) DecimalData spend,
      @DataTypeHint(value = "TIMESTAMP_LTZ(6)", bridgedTo = TimestampData.class) TimestampData last,
      @DataTypeHint(value = "TIMESTAMP_LTZ(6)", bridgedTo = TimestampData.class) TimestampData effective,
      @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData model)
      throws JsonProcessingException {
    if (!model.equals(read)) {
      read(model);
    }
    double[] inputs = {
      Math.log1p(orders),
      Math.log1p(spend.toBigDecimal().doubleValue()),
      (Moments.micros(effective) - Moments.micros(last)) / (double) Moments.DAY
    };
    double sum = intercept;
    for (int i = 0; i < inputs.length; i++) {
      sum += coefficients[i] * (inputs[i] - mean[i]) / scale[i];
    }
    return 1 / (1 + Math.exp(-sum));
  }

  private void read(StringData model) throws JsonProcessingException {
    JsonNode document = new ObjectMapper().readTree(model.toString());
    mean = numbers(document.get("mean"));
    scale = numbers(document.get("scale"));
    coefficients = numbers(document.get("coefficients"));
    intercept = document.get("intercept").doubleValue();
    read = model;
  }

  private static double[] numbers(JsonNode list) {
    double[] numbers = new double[list.size()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = list.get(i).doubleValue();
    }
    return numbers;
  }
}
