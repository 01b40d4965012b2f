package io.kappalakehouse.flink.delta;

import io.delta.kernel.DataWriteContext;
import io.delta.kernel.Transaction;
import io.delta.kernel.data.Row;
import io.delta.kernel.defaults.internal.json.JsonUtils;
import io.delta.kernel.defaults.internal.parquet.ParquetStatsReader;
import io.delta.kernel.engine.Engine;
import io.delta.kernel.expressions.Column;
import io.delta.kernel.expressions.Literal;
import io.delta.kernel.internal.util.Utils;
import io.delta.kernel.statistics.DataFileStatistics;
import io.delta.kernel.types.BinaryType;
import io.delta.kernel.types.StructType;
import io.delta.kernel.utils.CloseableIterator;
import io.delta.kernel.utils.DataFileStatus;
import io.delta.kernel.utils.FileStatus;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.apache.flink.table.data.RowData;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CommonPathCapabilities;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Path;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.api.WriteSupport;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.hadoop.util.HadoopStreams;
import org.apache.parquet.io.OutputFile;
import org.apache.parquet.io.PositionOutputStream;
import org.apache.parquet.io.api.RecordConsumer;

/** One Parquet file of a partition, being written. */
final class DataFile {
  /** Held in memory until it is full; a TaskManager has several files open. */
  private static final long ROW_GROUP_BYTES = 16L << 20;

  private final TargetTable table;
  private final Row state;
  private final DataWriteContext context;
  private final String path;
  private final FSDataOutputStream upload;
  private final ParquetWriter<RowData> file;
  private int rows;

  /** @param state that of a transaction on the table */
  DataFile(TargetTable table, Row state, Map<String, Literal> partition) throws IOException {
    this.table = table;
    this.state = state;
    context = Transaction.getWriteContext(table.engine(), state, partition);
    path = context.getTargetDirectory() + "/" + newName();
    Path target = new Path(path);
    upload = target.getFileSystem(table.hadoop()).create(target, false);
    file =
        new Builder(new Upload(upload, path), table.columns())
            .withConf(table.hadoop())
            .withCompressionCodec(CompressionCodecName.SNAPPY)
            .withRowGroupSize(ROW_GROUP_BYTES)
            .build();
  }

  /** A name that no other file has. */
  static String newName() {
    return "part-" + UUID.randomUUID() + ".snappy.parquet";
  }

  void write(RowData row) throws IOException {
    file.write(row);
    rows++;
  }

  int rows() {
    return rows;
  }

  /** What it has so far, in bytes; what is still in memory is estimated. */
  long size() {
    return file.getDataSize();
  }

  /** Ends the file and returns the {@code add} action that makes it part of the table, as JSON. */
  String close() throws IOException {
    file.close();
    Engine engine = table.engine();
    FileStatus written = engine.getFileSystemClient().getFileStatus(path);
    DataFileStatus described =
        new DataFileStatus(
            written.getPath(), written.getSize(), written.getModificationTime(), Optional.of(statistics(written)));
    try (CloseableIterator<Row> actions =
        Transaction.generateAppendActions(
            engine, state, Utils.singletonCloseableIterator(described), context)) {
      return JsonUtils.rowToJson(actions.next());
    }
  }

  /** Gives up the file, without waiting for a store that may be what fails. What was sent is no part of the table. */
  void abandon() {
    try {
      if (upload.hasCapability(CommonPathCapabilities.ABORTABLE_STREAM)) {
        upload.abort();
      } else {
        upload.close();
      }
    } catch (IOException | RuntimeException ignored) {
      // The job is ending, and says why elsewhere.
    }
  }

  private DataFileStatistics statistics(FileStatus written) throws IOException {
    StructType stored = table.columns().stored();
    List<Column> wanted =
        context.getStatisticsColumns().stream().filter(c -> stored.indexOf(c.getNames()[0]) >= 0).toList();
    DataFileStatistics found =
        ParquetStatsReader.readDataFileStatistics(
            table.files().newInputFile(written.getPath(), written.getSize()), stored, wanted);
    return new DataFileStatistics(
        found.getNumRecords(),
        readable(found.getMinValues()),
        readable(found.getMaxValues()),
        found.getNullCount(),
        Optional.empty());
  }

  /** Without bounds of bytes: as JSON they would be text, and no reader could skip by them. */
  private static Map<Column, Literal> readable(Map<Column, Literal> bounds) {
    Map<Column, Literal> kept = new HashMap<>(bounds);
    kept.values().removeIf(bound -> bound == null || bound.getDataType() instanceof BinaryType);
    return kept;
  }

  /** The file's bytes on their way; a new file, of which nothing is there to be continued or looked at. */
  private record Upload(FSDataOutputStream stream, String path) implements OutputFile {
    @Override
    public PositionOutputStream create(long blockSizeHint) {
      return HadoopStreams.wrap(stream);
    }

    @Override
    public PositionOutputStream createOrOverwrite(long blockSizeHint) {
      return HadoopStreams.wrap(stream);
    }

    @Override
    public boolean supportsBlockSize() {
      return false;
    }

    @Override
    public long defaultBlockSize() {
      return 0;
    }

    @Override
    public String getPath() {
      return path;
    }
  }

  private static final class Builder extends ParquetWriter.Builder<RowData, Builder> {
    private final Columns columns;

    Builder(OutputFile file, Columns columns) {
      super(file);
      this.columns = columns;
    }

    @Override
    protected Builder self() {
      return this;
    }

    @Override
    protected WriteSupport<RowData> getWriteSupport(Configuration configuration) {
      return new Rows(columns);
    }
  }

  private static final class Rows extends WriteSupport<RowData> {
    private final Columns columns;
    private final Columns.Writer writer;
    private RecordConsumer file;

    Rows(Columns columns) {
      this.columns = columns;
      writer = columns.writer();
    }

    @Override
    public WriteContext init(Configuration configuration) {
      return new WriteContext(columns.parquet(), Map.of());
    }

    @Override
    public void prepareForWrite(RecordConsumer consumer) {
      file = consumer;
    }

    @Override
    public void write(RowData row) {
      writer.write(row, file);
    }
  }
}
