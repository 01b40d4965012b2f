package io.kappalakehouse.flink.delta;

import io.delta.kernel.expressions.Literal;
import io.delta.kernel.types.StructType;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;
import org.apache.parquet.io.api.RecordConsumer;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Types;

/** The columns that a job writes, in its order; those of {@code partitions} lie in paths and not in files. */
final class Columns implements Serializable {

  private final RowType row;
  private final List<String> partitions;
  private transient List<ColumnType> types;

  /** @throws ValidationException a column has a type that can't be written, or a partition is no column */
  Columns(RowType row, List<String> partitions) {
    this.row = row;
    this.partitions = List.copyOf(partitions);
    types();
    Set<String> unknown = new HashSet<>(partitions);
    row.getFieldNames().forEach(unknown::remove);
    if (!unknown.isEmpty()) {
      throw new ValidationException(
          "option 'partitions' names what is no column: " + unknown + "; columns are " + row.getFieldNames());
    }
    if (new HashSet<>(partitions).size() < partitions.size() || partitions.size() == row.getFieldCount()) {
      throw new ValidationException(
          "option 'partitions' must name each column once, and leave one for the files: " + partitions);
    }
  }

  List<String> partitions() {
    return partitions;
  }

  /** As a Delta table has them. */
  StructType delta() {
    StructType schema = new StructType();
    for (int i = 0; i < row.getFieldCount(); i++) {
      schema = schema.add(row.getFieldNames().get(i), types().get(i).delta(), row.getTypeAt(i).isNullable());
    }
    return schema;
  }

  /** As a data file has them, without partitions. */
  StructType stored() {
    StructType schema = new StructType();
    for (var field : delta().fields()) {
      schema = partitions.contains(field.getName()) ? schema : schema.add(field);
    }
    return schema;
  }

  MessageType parquet() {
    Types.MessageTypeBuilder message = Types.buildMessage();
    for (int i : storedPositions()) {
      var repetition = row.getTypeAt(i).isNullable() ? Type.Repetition.OPTIONAL : Type.Repetition.REQUIRED;
      message.addField(types().get(i).parquet().named(row.getFieldNames().get(i), repetition));
    }
    return message.named("row");
  }

  /** Writes whole rows into a file of {@link #parquet()}. */
  Writer writer() {
    int[] positions = storedPositions();
    ColumnType.Writer[] writers = new ColumnType.Writer[positions.length];
    String[] names = new String[positions.length];
    for (int field = 0; field < positions.length; field++) {
      writers[field] = types().get(positions[field]).writer();
      names[field] = row.getFieldNames().get(positions[field]);
    }
    return (values, file) -> {
      file.startMessage();
      for (int field = 0; field < positions.length; field++) {
        if (!values.isNullAt(positions[field])) {
          file.startField(names[field], field);
          writers[field].write(values, positions[field], file);
          file.endField(names[field], field);
        }
      }
      file.endMessage();
    };
  }

  interface Writer {
    void write(RowData row, RecordConsumer file);
  }

  /**
   * The row's place among the partitions.
   *
   * @throws IllegalArgumentException it is an empty string, which readers would take for null
   */
  Map<String, Literal> partition(RowData values) {
    Map<String, Literal> partition = new LinkedHashMap<>();
    for (String name : partitions) {
      int i = row.getFieldIndex(name);
      ColumnType type = types().get(i);
      Literal value = values.isNullAt(i) ? Literal.ofNull(type.delta()) : type.value().of(values, i);
      if ("".equals(value.getValue())) {
        throw new IllegalArgumentException("an empty string in partition column " + name + " would be read as null");
      }
      partition.put(name, value);
    }
    return partition;
  }

  /**
   * Where rows have the column.
   *
   * @throws ValidationException there is none of this name and type
   */
  int index(String name, LogicalTypeRoot type) {
    int index = row.getFieldIndex(name);
    if (index < 0 || row.getTypeAt(index).getTypeRoot() != type) {
      throw new ValidationException(
          "option 'source.reader' needs a column %s of type %s; columns are %s".formatted(name, type, row));
    }
    return index;
  }

  private int[] storedPositions() {
    List<String> names = row.getFieldNames();
    return java.util.stream.IntStream.range(0, names.size()).filter(i -> !partitions.contains(names.get(i))).toArray();
  }

  private List<ColumnType> types() {
    if (types == null) {
      types = new ArrayList<>();
      for (RowType.RowField field : row.getFields()) {
        types.add(ColumnType.of(field.getName(), field.getType()));
      }
    }
    return types;
  }
}
