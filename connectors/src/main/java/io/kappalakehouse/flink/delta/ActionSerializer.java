package io.kappalakehouse.flink.delta;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/** Actions of Delta's log, JSON, on their way from the writers. */
final class ActionSerializer implements SimpleVersionedSerializer<String> {

  @Override
  public int getVersion() {
    return 1;
  }

  @Override
  public byte[] serialize(String action) {
    return bytes(action);
  }

  @Override
  public String deserialize(int version, byte[] serialized) throws IOException {
    requireKnown(version);
    return text(serialized);
  }

  static byte[] bytes(String action) {
    return action.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] serialized) {
    return new String(serialized, StandardCharsets.UTF_8);
  }

  static void requireKnown(int version) throws IOException {
    if (version != 1) {
      throw new IOException("the delta sink's state is of version " + version + "; this one reads version 1");
    }
  }
}
