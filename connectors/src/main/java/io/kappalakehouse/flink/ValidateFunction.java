package io.kappalakehouse.flink;

import io.kappalakehouse.validator.Contract;
import io.kappalakehouse.validator.Contracts;
import io.kappalakehouse.validator.Field;
import io.kappalakehouse.validator.Validator;
import io.kappalakehouse.validator.Verdict;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.StaticArgument;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;
import org.apache.flink.types.Row;

/**
 * A contract's validator for Flink SQL: {@code (key BYTES, value BYTES, arrival TIMESTAMP_LTZ(3))} to {@code ROW<reason
 * STRING, field STRING, payload...>}, the reason null when the record is valid and the payload null when it is not. The
 * row's type derives from the contract.
 */
public final class ValidateFunction extends ScalarFunction {

  private final Contract contract;
  private transient Validator validator;

  /** Of the contract of {@code topic}, named without namespace. */
  public ValidateFunction(String topic) {
    contract = Contracts.of(topic);
  }

  @Override
  public void open(FunctionContext context) {
    validator = new Validator(contract);
  }

  public Row eval(byte[] key, byte[] value, Instant arrival) {
    Verdict verdict = validator.validate(key, value, arrival.toEpochMilli());
    Row row = new Row(2 + contract.fields().size());
    if (!verdict.isValid()) {
      row.setField(0, verdict.reason().wire());
      row.setField(1, verdict.field());
      return row;
    }
    for (int i = 0; i < contract.fields().size(); i++) {
      Object found = verdict.values().get(i);
      boolean time = contract.fields().get(i).kind() == Field.Kind.TIME;
      row.setField(2 + i, time ? Instant.ofEpochMilli((Long) found) : found);
    }
    return row;
  }

  @Override
  public TypeInference getTypeInference(DataTypeFactory typeFactory) {
    return TypeInference.newBuilder()
        .staticArguments(
            StaticArgument.scalar("key", DataTypes.BYTES(), false),
            StaticArgument.scalar("value", DataTypes.BYTES(), false),
            StaticArgument.scalar("arrival", DataTypes.TIMESTAMP_LTZ(3), false))
        .outputTypeStrategy(TypeStrategies.explicit(verdictType()))
        .build();
  }

  private DataType verdictType() {
    List<DataTypes.Field> fields = new ArrayList<>();
    fields.add(DataTypes.FIELD("reason", DataTypes.STRING()));
    fields.add(DataTypes.FIELD("field", DataTypes.STRING()));
    for (Field field : contract.fields()) {
      fields.add(DataTypes.FIELD(field.name(), columnType(field.kind())));
    }
    return DataTypes.ROW(fields);
  }

  private static DataType columnType(Field.Kind kind) {
    return switch (kind) {
      case ID, STRING -> DataTypes.STRING();
      case INTEGER -> DataTypes.BIGINT();
      case TIME -> DataTypes.TIMESTAMP_LTZ(3);
    };
  }
}
