package io.kappalakehouse.flink.delta;

import io.delta.kernel.data.Row;
import io.delta.kernel.expressions.Literal;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.connector.sink2.CommittingSinkWriter;
import org.apache.flink.table.data.RowData;
import org.apache.flink.util.TemporaryClassLoaderContext;

/**
 * Writes a subtask's rows into data files. All of them end with the checkpoint: nothing is kept from one to the next, so
 * the writer has no state, and what a failed job has written is in no table.
 */
final class DeltaWriter implements CommittingSinkWriter<RowData, String> {
  /** Each open file holds up to a row group in memory. */
  private static final int OPEN_FILES = 8;

  private final TargetTable table;
  private final Rolling rolling;
  private final ReadPositions read;
  private final Row state;
  private final Map<List<Object>, DataFile> open = new HashMap<>();
  private final List<String> ended = new ArrayList<>();

  /** With a {@code source} that has a reader (or null) its commits say how far that is. */
  DeltaWriter(TargetTable table, Rolling rolling, SourceTopics source) {
    this.table = table;
    this.rolling = rolling;
    read = source == null || source.reader() == null ? null : new ReadPositions(table.columns(), source);
    try (TemporaryClassLoaderContext lasting = TargetTable.lastingClassLoader()) {
      state = TargetTable.append(table.open()).build(table.engine()).getTransactionState(table.engine());
    }
  }

  @Override
  public void write(RowData row, Context context) throws IOException {
    if (read != null) {
      read.add(row);
    }
    Map<String, Literal> partition = table.columns().partition(row);
    List<Object> place = new ArrayList<>();
    partition.values().forEach(value -> place.add(value.getValue()));
    try (TemporaryClassLoaderContext lasting = TargetTable.lastingClassLoader()) {
      DataFile file = open.get(place);
      if (file == null) {
        if (open.size() == OPEN_FILES) {
          endFiles();
        }
        file = new DataFile(table, state, partition);
        open.put(place, file);
      }
      file.write(row);
      if (rolling.full(file)) {
        open.remove(place);
        ended.add(file.close());
      }
    }
  }

  /** The {@code add} actions of all that was written since the last call, and how far its rows were read. */
  @Override
  public Collection<String> prepareCommit() throws IOException {
    try (TemporaryClassLoaderContext lasting = TargetTable.lastingClassLoader()) {
      endFiles();
    }
    List<String> actions = new ArrayList<>(ended);
    ended.clear();
    if (read != null) {
      actions.addAll(read.drain());
    }
    return actions;
  }

  @Override
  public void flush(boolean endOfInput) {
    // Files end in prepareCommit, which Flink calls next.
  }

  @Override
  public void close() {
    try (TemporaryClassLoaderContext lasting = TargetTable.lastingClassLoader()) {
      open.values().forEach(DataFile::abandon);
    }
    open.clear();
  }

  private void endFiles() throws IOException {
    List<DataFile> files = List.copyOf(open.values());
    open.clear();
    for (DataFile file : files) {
      ended.add(file.close());
    }
  }
}
