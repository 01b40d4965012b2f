package io.kappalakehouse.flink.live;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Keeps what the last half second touched on the heap, then writes it to state and emits it: one state access and one
 * record per key and interval, however many events came.
 *
 * <p>Everything touched is written and emitted before a checkpoint's barrier too. So state is complete in each
 * checkpoint, and once the offsets of a checkpoint are committed, the sinks have flushed all that those offsets led to.
 *
 * @param <K> key
 * @param <V> value by key
 */
abstract class WriteBackOperator<K, I, V, O> extends AbstractStreamOperator<O>
    implements OneInputStreamOperator<I, O> {

  private static final long INTERVAL_MS = 500;
  private static final int MAX_TOUCHED = 10_000;

  private transient Map<K, V> touched;

  @Override
  public void open() throws Exception {
    super.open();
    touched = new LinkedHashMap<>();
  }

  /** The value of the current key, to change in place. It goes to state and out with the next flush. */
  @SuppressWarnings("unchecked")
  protected final V touch() throws Exception {
    K key = (K) getCurrentKey();
    V value = touched.get(key);
    if (value == null) {
      if (touched.isEmpty()) {
        getProcessingTimeService()
            .registerTimer(getProcessingTimeService().getCurrentProcessingTime() + INTERVAL_MS, time -> flush());
      }
      value = load();
      touched.put(key, value);
    }
    return value;
  }

  /** The current key's value from state, or a new one. */
  protected abstract V load() throws Exception;

  /** Writes the current key's value to state. */
  protected abstract void store(V value) throws Exception;

  protected abstract void emit(K key, V value) throws Exception;

  /** Handles one input record; the current key is its key. */
  protected abstract void process(I record) throws Exception;

  @Override
  public final void processElement(StreamRecord<I> element) throws Exception {
    process(element.getValue());
    if (touched.size() >= MAX_TOUCHED) {
      flush();
    }
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
    flush();
    super.prepareSnapshotPreBarrier(checkpointId);
  }

  @Override
  public void finish() throws Exception {
    flush();
    super.finish();
  }

  private void flush() throws Exception {
    for (Map.Entry<K, V> entry : touched.entrySet()) {
      setCurrentKey(entry.getKey());
      store(entry.getValue());
      emit(entry.getKey(), entry.getValue());
    }
    touched.clear();
  }
}
