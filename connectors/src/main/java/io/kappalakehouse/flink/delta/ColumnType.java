package io.kappalakehouse.flink.delta;

import io.delta.kernel.expressions.Literal;
import io.delta.kernel.types.BinaryType;
import io.delta.kernel.types.BooleanType;
import io.delta.kernel.types.DataType;
import io.delta.kernel.types.DateType;
import io.delta.kernel.types.DecimalType;
import io.delta.kernel.types.DoubleType;
import io.delta.kernel.types.IntegerType;
import io.delta.kernel.types.LongType;
import io.delta.kernel.types.StringType;
import io.delta.kernel.types.TimestampType;
import java.math.BigInteger;
import java.util.Arrays;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LocalZonedTimestampType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.RecordConsumer;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimeUnit;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Types;

/**
 * A column's type in Flink, in Delta and in Parquet, and the way of a value from the first to the others.
 *
 * @param value the value at a position that isn't null, as Delta's literal
 * @param writer writes a value that isn't null
 */
record ColumnType(DataType delta, ParquetType parquet, LiteralOf value, Writer writer) {

  /** Of a field with this name and repetition. */
  interface ParquetType {
    Type named(String name, Type.Repetition repetition);
  }

  interface LiteralOf {
    Literal of(RowData row, int position);
  }

  interface Writer {
    void write(RowData row, int position, RecordConsumer file);
  }

  /**
   * The type of column {@code name}.
   *
   * @throws ValidationException Delta's profile has no such type; the message says what to cast to
   */
  static ColumnType of(String name, LogicalType type) {
    return switch (type.getTypeRoot()) {
      case VARCHAR -> new ColumnType(
          StringType.STRING,
          plain(PrimitiveTypeName.BINARY, LogicalTypeAnnotation.stringType()),
          (row, i) -> Literal.ofString(row.getString(i).toString()),
          (row, i, file) -> file.addBinary(Binary.fromReusedByteArray(row.getString(i).toBytes())));
      case BIGINT -> new ColumnType(
          LongType.LONG,
          plain(PrimitiveTypeName.INT64, null),
          (row, i) -> Literal.ofLong(row.getLong(i)),
          (row, i, file) -> file.addLong(row.getLong(i)));
      case INTEGER -> new ColumnType(
          IntegerType.INTEGER,
          plain(PrimitiveTypeName.INT32, null),
          (row, i) -> Literal.ofInt(row.getInt(i)),
          (row, i, file) -> file.addInteger(row.getInt(i)));
      case DOUBLE -> new ColumnType(
          DoubleType.DOUBLE,
          plain(PrimitiveTypeName.DOUBLE, null),
          (row, i) -> Literal.ofDouble(row.getDouble(i)),
          (row, i, file) -> file.addDouble(row.getDouble(i)));
      case BOOLEAN -> new ColumnType(
          BooleanType.BOOLEAN,
          plain(PrimitiveTypeName.BOOLEAN, null),
          (row, i) -> Literal.ofBoolean(row.getBoolean(i)),
          (row, i, file) -> file.addBoolean(row.getBoolean(i)));
      case VARBINARY -> new ColumnType(
          BinaryType.BINARY,
          plain(PrimitiveTypeName.BINARY, null),
          (row, i) -> Literal.ofBinary(row.getBinary(i)),
          (row, i, file) -> file.addBinary(Binary.fromReusedByteArray(row.getBinary(i))));
      case DATE -> new ColumnType(
          DateType.DATE,
          plain(PrimitiveTypeName.INT32, LogicalTypeAnnotation.dateType()),
          (row, i) -> Literal.ofDate(row.getInt(i)),
          (row, i, file) -> file.addInteger(row.getInt(i)));
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE -> timestamp(name, ((LocalZonedTimestampType) type).getPrecision());
      case DECIMAL -> decimal((org.apache.flink.table.types.logical.DecimalType) type);
      case TIMESTAMP_WITHOUT_TIME_ZONE -> throw new ValidationException(
          "column " + name + " is a " + type + ": Delta tables here hold instants only, cast it to TIMESTAMP_LTZ(6)");
      default -> throw new ValidationException(
          "column " + name + " is a " + type + ", which the delta sink does not write; cast it to STRING, BIGINT, INT,"
              + " DOUBLE, BOOLEAN, BYTES, DATE, TIMESTAMP_LTZ(6) or DECIMAL(p, s)");
    };
  }

  private static ParquetType plain(PrimitiveTypeName primitive, LogicalTypeAnnotation annotation) {
    return (name, repetition) -> Types.primitive(primitive, repetition).as(annotation).named(name);
  }

  private static ColumnType timestamp(String name, int precision) {
    if (precision > 6) {
      throw new ValidationException(
          "column " + name + " has times in nanoseconds; Delta keeps microseconds, cast it to TIMESTAMP_LTZ(6)");
    }
    return new ColumnType(
        TimestampType.TIMESTAMP,
        plain(PrimitiveTypeName.INT64, LogicalTypeAnnotation.timestampType(true, TimeUnit.MICROS)),
        (row, i) -> Literal.ofTimestamp(micros(row.getTimestamp(i, precision))),
        (row, i, file) -> file.addLong(micros(row.getTimestamp(i, precision))));
  }

  private static long micros(TimestampData time) {
    return Math.addExact(Math.multiplyExact(time.getMillisecond(), 1000L), time.getNanoOfMillisecond() / 1000);
  }

  private static ColumnType decimal(org.apache.flink.table.types.logical.DecimalType type) {
    int precision = type.getPrecision();
    int scale = type.getScale();
    int bytes = BigInteger.TEN.pow(precision).bitLength() / 8 + 1;
    return new ColumnType(
        new DecimalType(precision, scale),
        (name, repetition) -> Types.primitive(PrimitiveTypeName.FIXED_LEN_BYTE_ARRAY, repetition)
            .length(bytes)
            .as(LogicalTypeAnnotation.decimalType(scale, precision))
            .named(name),
        (row, i) -> Literal.ofDecimal(row.getDecimal(i, precision, scale).toBigDecimal(), precision, scale),
        (row, i, file) -> file.addBinary(fixed(row.getDecimal(i, precision, scale), bytes)));
  }

  /** The unscaled value, big-endian, its sign extended. */
  private static Binary fixed(DecimalData value, int bytes) {
    byte[] digits = value.toUnscaledBytes();
    byte[] fixed = new byte[bytes];
    Arrays.fill(fixed, 0, bytes - digits.length, (byte) (digits[0] < 0 ? -1 : 0));
    System.arraycopy(digits, 0, fixed, bytes - digits.length, digits.length);
    return Binary.fromReusedByteArray(fixed);
  }
}
