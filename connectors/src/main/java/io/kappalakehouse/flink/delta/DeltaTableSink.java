package io.kappalakehouse.flink.delta;

import java.util.Optional;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamSink;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.ProviderContext;
import org.apache.flink.table.connector.sink.DataStreamSinkProvider;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.data.RowData;

/** {@code INSERT INTO} a table of connector {@code delta}. */
record DeltaTableSink(
    TargetTable table,
    Rolling rolling,
    Optional<SourceTopics> source,
    Optional<String> uid,
    String name,
    Optional<Integer> parallelism)
    implements DynamicTableSink {

  @Override
  public ChangelogMode getChangelogMode(ChangelogMode requested) {
    return ChangelogMode.insertOnly();
  }

  /** Refuses what could not be written, before anything is submitted. */
  @Override
  public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
    table.check();
    return new DataStreamSinkProvider() {
      @Override
      public DataStreamSink<?> consumeDataStream(ProviderContext planning, DataStream<RowData> rows) {
        DataStreamSink<RowData> sink = rows.sinkTo(new DeltaSink(table, rolling, source.orElse(null))).name(name);
        uid.or(() -> planning.generateUid("delta")).ifPresent(sink::uid);
        return sink;
      }

      @Override
      public Optional<Integer> getParallelism() {
        return parallelism;
      }
    };
  }

  @Override
  public DynamicTableSink copy() {
    return this;
  }

  @Override
  public String asSummaryString() {
    return "delta " + table.path();
  }
}
