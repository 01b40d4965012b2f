package io.kappalakehouse.flink;

import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.transformations.SourceTransformation;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.utils.DataTypeUtils;

/** A view whose rows are made once, whatever is read of them, and by however many. */
public final class EvaluatedOnce {

  private EvaluatedOnce() {}

  /**
   * Registers {@code name} with the rows of {@code view}. Flink merges a view into each query on it, so that a function
   * there is called for each field that is taken from its result; as a stream in between it stays whole.
   */
  public static void register(StreamTableEnvironment tables, String name, String view) {
    stream(tables, name, view);
  }

  /** The same; the source of {@code view} keeps its state under {@code uid}. */
  public static void register(StreamTableEnvironment tables, String name, String view, String uid) {
    stream(tables, name, view).getTransformation().getTransitivePredecessors().stream()
        .filter(SourceTransformation.class::isInstance)
        .forEach(source -> source.setUid(uid));
  }

  private static DataStream<RowData> stream(StreamTableEnvironment tables, String name, String view) {
    Table rows = tables.from(view);
    DataType type =
        DataTypeUtils.toInternalDataType(rows.getResolvedSchema().toSourceRowDataType()).bridgedTo(RowData.class);
    DataStream<RowData> stream = tables.toDataStream(rows, type);
    tables.createTemporaryView(name, stream, Schema.newBuilder().fromRowDataType(type).build());
    return stream;
  }
}
