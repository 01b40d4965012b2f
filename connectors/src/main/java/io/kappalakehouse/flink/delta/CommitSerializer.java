package io.kappalakehouse.flink.delta;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/** Commits as checkpoints and savepoints hold them. */
final class CommitSerializer implements SimpleVersionedSerializer<Commit> {

  @Override
  public int getVersion() {
    return 1;
  }

  @Override
  public byte[] serialize(Commit commit) throws IOException {
    DataOutputSerializer out = new DataOutputSerializer(1024);
    out.writeUTF(commit.appId());
    out.writeLong(commit.checkpoint());
    out.writeInt(commit.actions().size());
    for (String action : commit.actions()) {
      byte[] text = ActionSerializer.bytes(action);
      out.writeInt(text.length);
      out.write(text);
    }
    return out.getCopyOfBuffer();
  }

  @Override
  public Commit deserialize(int version, byte[] serialized) throws IOException {
    ActionSerializer.requireKnown(version);
    DataInputDeserializer in = new DataInputDeserializer(serialized);
    String appId = in.readUTF();
    long checkpoint = in.readLong();
    int count = in.readInt();
    List<String> actions = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      byte[] text = new byte[in.readInt()];
      in.readFully(text);
      actions.add(ActionSerializer.text(text));
    }
    return new Commit(appId, checkpoint, actions);
  }
}
