package io.kappalakehouse.flink.delta;

import io.delta.kernel.Operation;
import io.delta.kernel.Snapshot;
import io.delta.kernel.TableManager;
import io.delta.kernel.Transaction;
import io.delta.kernel.defaults.engine.DefaultEngine;
import io.delta.kernel.defaults.engine.fileio.FileIO;
import io.delta.kernel.defaults.engine.hadoopio.HadoopFileIO;
import io.delta.kernel.engine.Engine;
import io.delta.kernel.exceptions.MaxCommitRetryLimitReachedException;
import io.delta.kernel.exceptions.TableAlreadyExistsException;
import io.delta.kernel.exceptions.TableNotFoundException;
import io.delta.kernel.expressions.Column;
import io.delta.kernel.internal.actions.Protocol;
import io.delta.kernel.transaction.CreateTableTransactionBuilder;
import io.delta.kernel.transaction.DataLayoutSpec;
import io.delta.kernel.transaction.UpdateTableTransactionBuilder;
import io.delta.kernel.types.StructField;
import io.delta.kernel.types.StructType;
import io.delta.kernel.utils.CloseableIterable;
import io.delta.storage.LogStore;
import io.kappalakehouse.delta.ConditionalPutLogStore;
import io.kappalakehouse.delta.LinkLogStore;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.Serializable;
import java.nio.file.AccessDeniedException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.util.TemporaryClassLoaderContext;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocatedFileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.fs.s3a.UnknownStoreException;

/**
 * The Delta table that a sink writes: reader 1, writer 2, no table features.
 *
 * <p>Hadoop is configured by {@code core-site.xml} on the class path; S3's key comes from there or from the environment.
 */
final class TargetTable implements Serializable {
  private static final String ENGINE = "kappa-lakehouse-flink";
  private static final int READER_VERSION = 1;
  private static final int WRITER_VERSION = 2;

  /** Of tables that the sink creates; those of {@code lakehouse.delta} in Python are the same. */
  private static final Map<String, String> PROPERTIES =
      Map.of(
          "delta.logRetentionDuration", "interval 7 days",
          "delta.deletedFileRetentionDuration", "interval 7 days",
          "delta.enableExpiredLogCleanup", "false");

  private final String path;
  private final Columns columns;
  private transient Configuration hadoop;

  TargetTable(String path, Columns columns) {
    this(path, columns, null);
  }

  /** @param hadoop instead of what is found on the class path; not kept when this is sent elsewhere */
  TargetTable(String path, Columns columns, Configuration hadoop) {
    this.path = path;
    this.columns = columns;
    this.hadoop = hadoop == null ? null : withExclusiveCommits(hadoop);
  }

  /**
   * To be open around whatever may reach the store. S3A's threads outlive a job, and they keep the class loader of the
   * thread that started them: a job's own is closed with the job, and the next one's requests would fail.
   */
  static TemporaryClassLoaderContext lastingClassLoader() {
    return TemporaryClassLoaderContext.of(TargetTable.class.getClassLoader());
  }

  String path() {
    return path;
  }

  Columns columns() {
    return columns;
  }

  /**
   * Whether rows can be written there, asked before anything runs; creates nothing.
   *
   * @throws ValidationException it is no Delta table, of a newer protocol, of another schema, or can't be reached; the
   *     message says which
   */
  void check() {
    explained(this::existing);
  }

  /**
   * The table's newest version; creates the table if there is nothing at its path.
   *
   * @throws ValidationException as of {@link #check}
   */
  Snapshot open() {
    return explained(
        () -> {
          Optional<Snapshot> there = existing();
          return there.isPresent() ? there.get() : create();
        });
  }

  Engine engine() {
    return DefaultEngine.create(hadoop());
  }

  FileIO files() {
    return new HadoopFileIO(hadoop());
  }

  Configuration hadoop() {
    if (hadoop == null) {
      hadoop = withExclusiveCommits(new Configuration());
      hadoop.setClassLoader(TargetTable.class.getClassLoader());
    }
    return hadoop;
  }

  /** Not left to whoever configures the cluster: Kernel's default lets several writers win one version. */
  private static Configuration withExclusiveCommits(Configuration hadoop) {
    for (String scheme : List.of("s3a", "s3", "s3n")) {
      logStore(hadoop, scheme, ConditionalPutLogStore.class);
    }
    logStore(hadoop, "file", LinkLogStore.class);
    return hadoop;
  }

  private static void logStore(Configuration hadoop, String scheme, Class<? extends LogStore> store) {
    hadoop.set("io.delta.kernel.logStore." + scheme + ".impl", store.getName());
  }

  /** An append to {@code snapshot}. */
  static UpdateTableTransactionBuilder append(Snapshot snapshot) {
    return snapshot.buildUpdateTableTransaction(ENGINE, Operation.STREAMING_UPDATE);
  }

  private Optional<Snapshot> existing() throws IOException {
    Optional<Snapshot> found = load();
    if (found.isEmpty() && hasData()) {
      // Files come after the table: another writer may have made it while we looked.
      found = load();
      if (found.isEmpty()) {
        throw new ValidationException(
            "there are files at " + path + ", but no Delta table: name another 'table_path', or remove them");
      }
    }
    found.ifPresent(this::requireFit);
    return found;
  }

  private Optional<Snapshot> load() {
    try {
      return Optional.of(TableManager.loadSnapshot(path).build(engine()));
    } catch (TableNotFoundException none) {
      return Optional.empty();
    }
  }

  private Snapshot create() throws IOException {
    CreateTableTransactionBuilder builder =
        TableManager.buildCreateTableTransaction(path, columns.delta(), ENGINE).withTableProperties(PROPERTIES);
    if (!columns.partitions().isEmpty()) {
      List<Column> partitions = columns.partitions().stream().map(Column::new).toList();
      builder = builder.withDataLayoutSpec(DataLayoutSpec.partitioned(partitions));
    }
    try {
      Transaction creation = builder.withMaxRetries(0).build(engine());
      creation.commit(engine(), CloseableIterable.emptyIterable());
    } catch (TableAlreadyExistsException | MaxCommitRetryLimitReachedException other) {
      // Each of the sink's writers tries, and so may another job: whoever was first has made it.
      return existing().orElseThrow(() -> other);
    }
    return existing().orElseThrow();
  }

  /** Whether there is any file beside a log, in which a table's first version may be just coming. */
  private boolean hasData() throws IOException {
    Path root = new Path(path);
    FileSystem files = root.getFileSystem(hadoop());
    try {
      RemoteIterator<LocatedFileStatus> each = files.listFiles(root, true);
      while (each.hasNext()) {
        if (!each.next().getPath().getParent().getName().equals("_delta_log")) {
          return true;
        }
      }
      return false;
    } catch (UnknownStoreException missing) {
      throw missing;
    } catch (FileNotFoundException nothing) {
      return false;
    }
  }

  private void requireFit(Snapshot snapshot) {
    Protocol protocol = snapshot.getProtocol();
    if (protocol.getMinReaderVersion() > READER_VERSION || protocol.getMinWriterVersion() > WRITER_VERSION) {
      throw new ValidationException(
          "table %s needs readers of version %d and writers of version %d, the delta sink writes tables of %d and %d"
              .formatted(
                  path,
                  protocol.getMinReaderVersion(),
                  protocol.getMinWriterVersion(),
                  READER_VERSION,
                  WRITER_VERSION));
    }
    List<String> differences = differences(snapshot.getSchema());
    if (!snapshot.getPartitionColumnNames().equals(columns.partitions())) {
      differences.add(
          "it is partitioned by %s, not by %s".formatted(snapshot.getPartitionColumnNames(), columns.partitions()));
    }
    if (!differences.isEmpty()) {
      throw new ValidationException(
          "the rows do not fit table %s: %s".formatted(path, String.join("; ", differences)));
    }
  }

  /** Columns that the table has beyond ours, and that may be null, are no difference. */
  private List<String> differences(StructType there) {
    StructType ours = columns.delta();
    List<String> differences = new ArrayList<>();
    for (StructField field : ours.fields()) {
      String name = field.getName();
      if (there.indexOf(name) < 0) {
        differences.add("it has no column " + name);
        continue;
      }
      StructField stored = there.get(name);
      if (!stored.getDataType().equals(field.getDataType())) {
        differences.add("its column %s is %s, not %s".formatted(name, stored.getDataType(), field.getDataType()));
      } else if (field.isNullable() && !stored.isNullable()) {
        differences.add("its column %s may not be null: declare it NOT NULL".formatted(name));
      }
    }
    for (StructField stored : there.fields()) {
      if (!stored.isNullable() && ours.indexOf(stored.getName()) < 0) {
        differences.add("its column %s may not be null, and is not written".formatted(stored.getName()));
      }
    }
    return differences;
  }

  private interface Opening<T> {
    T run() throws IOException;
  }

  /** Says of what went wrong what it means. */
  private <T> T explained(Opening<T> opening) {
    try (TemporaryClassLoaderContext lasting = lastingClassLoader()) {
      return opening.run();
    } catch (ValidationException clear) {
      throw clear;
    } catch (IOException | RuntimeException error) {
      throw new ValidationException("%s: %s".formatted(path, meaning(error)), error);
    }
  }

  private static String meaning(Exception error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof AccessDeniedException) {
        return "the store refuses the access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for Flink; "
            + cause.getMessage();
      }
      if (cause instanceof UnknownStoreException) {
        return "there is no such bucket: " + cause.getMessage();
      }
    }
    return "cannot open the Delta table: " + error.getMessage();
  }
}
