package io.kappalakehouse.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** {@code record_hash(topic, partition, offset, value)} for Flink SQL; the topic without namespace. */
public final class RecordHash extends ScalarFunction {

  public Long eval(String topic, Integer partition, Long offset, byte[] value) {
    return io.kappalakehouse.validator.RecordHash.of(topic, partition, offset, value);
  }
}
