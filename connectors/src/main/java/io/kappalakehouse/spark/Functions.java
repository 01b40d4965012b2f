package io.kappalakehouse.spark;

import io.kappalakehouse.validator.Contract;
import io.kappalakehouse.validator.Contracts;
import io.kappalakehouse.validator.Field;
import io.kappalakehouse.validator.RecordHash;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF4;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/**
 * The validator as SQL functions of a Spark session.
 *
 * <ul>
 *   <li>{@code validate_clicks(key, value, arrival_ms)}, one per contract, named by its table: a struct of {@code reason}
 *       (null when valid), {@code field}, {@code event} (the typed payload; null when invalid)
 *   <li>{@code record_hash(topic, partition, offset, value)}, topic without namespace
 * </ul>
 */
public final class Functions {

  private Functions() {}

  /** Registers the functions in the session; again is harmless. */
  public static void register(SparkSession session) {
    for (Contract contract : Contracts.all()) {
      session
          .udf()
          .register("validate_" + contract.table(), new ValidateUdf(contract), verdictType(contract));
    }
    // Spark doesn't cast a Java function's arguments: a literal 2 is an int wherever a bigint is meant.
    UDF4<String, Number, Number, byte[], Long> hash =
        (topic, partition, offset, value) -> RecordHash.of(topic, partition.intValue(), offset.longValue(), value);
    session.udf().register("record_hash", hash, DataTypes.LongType);
  }

  static StructType verdictType(Contract contract) {
    List<StructField> payload = new ArrayList<>();
    for (Field field : contract.fields()) {
      payload.add(DataTypes.createStructField(field.name(), columnType(field.kind()), true));
    }
    return DataTypes.createStructType(
        List.of(
            DataTypes.createStructField("reason", DataTypes.StringType, true),
            DataTypes.createStructField("field", DataTypes.StringType, true),
            DataTypes.createStructField("event", DataTypes.createStructType(payload), true)));
  }

  private static DataType columnType(Field.Kind kind) {
    return switch (kind) {
      case ID, STRING -> DataTypes.StringType;
      case INTEGER -> DataTypes.LongType;
      case TIME -> DataTypes.TimestampType;
    };
  }
}
