package io.kappalakehouse.flink.delta;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SupportsCommitter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessageTypeInfo;
import org.apache.flink.streaming.api.connector.sink2.SupportsPreCommitTopology;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.table.data.RowData;

/**
 * Appends rows to a Delta table exactly once: writers per subtask, one {@link CommitAggregator}, and a committer of
 * which one subtask has all the work.
 */
final class DeltaSink
    implements Sink<RowData>, SupportsCommitter<Commit>, SupportsPreCommitTopology<String, Commit> {
  /** Flink finds its state by this name and the sink's uid: renaming it gives restored jobs a new application id. */
  private static final String AGGREGATOR = "Commit Aggregator";

  private final TargetTable table;
  private final Rolling rolling;
  private final SourceTopics source;

  /** Without a {@code source} (null) the rows may come from anywhere. */
  DeltaSink(TargetTable table, Rolling rolling, SourceTopics source) {
    this.table = table;
    this.rolling = rolling;
    this.source = source;
  }

  @Override
  public DeltaWriter createWriter(WriterInitContext context) {
    return new DeltaWriter(table, rolling, source);
  }

  @Override
  public DataStream<CommittableMessage<Commit>> addPreCommitTopology(
      DataStream<CommittableMessage<String>> written) {
    TypeInformation<CommittableMessage<Commit>> type = CommittableMessageTypeInfo.of(CommitSerializer::new);
    // The committer has the writers' parallelism: sent on by `global`, all goes to its first subtask.
    return written
        .global()
        .transform(AGGREGATOR, type, new CommitAggregator(table, source))
        .setParallelism(1)
        .setMaxParallelism(1)
        .global();
  }

  @Override
  public Committer<Commit> createCommitter(CommitterInitContext context) {
    return new DeltaCommitter(table);
  }

  @Override
  public SimpleVersionedSerializer<String> getWriteResultSerializer() {
    return new ActionSerializer();
  }

  @Override
  public SimpleVersionedSerializer<Commit> getCommittableSerializer() {
    return new CommitSerializer();
  }
}
